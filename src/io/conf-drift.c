/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/conf-drift.h"

#include <stdio.h>

#define SENTENCE_MAX 512

/* :: or 0.0.0.0 */
static bool is_any_address(const Address *a) {
        static const Address any6 = {}, any4 = { { [10] = 0xff, [11] = 0xff } };

        return address_equal(a, &any6) || address_equal(a, &any4);
}

static bool listen_matches(const ConfListen *listen, const Endpoint *e) {
        if (listen->is_auto)
                return true;
        if (listen->any_address)
                return listen->endpoint.port == e->port && is_any_address(&e->address);
        return endpoint_equal(&listen->endpoint, e);
}

static void listen_to_text(const ConfListen *listen, char ret[ENDPOINT_TEXT_SIZE]) {
        if (listen->any_address)
                (void) snprintf(ret, ENDPOINT_TEXT_SIZE, "%u", listen->endpoint.port);
        else
                endpoint_to_text(&listen->endpoint, ret);
}

/* Where it is said and not done. */
static int find_missing(const ConfCommon *conf, const ConfListening *l, ConfDriftFound found, void *userdata) {
        for (size_t i = 0; i < conf->n_listen; i++) {
                char at[ENDPOINT_TEXT_SIZE], text[SENTENCE_MAX];
                bool done = false;
                int r;

                for (size_t k = 0; k < l->n_endpoints && !done; k++)
                        done = listen_matches(&conf->listen[i], &l->endpoints[k]);
                if (done)
                        continue;
                listen_to_text(&conf->listen[i], at);
                (void) snprintf(text, sizeof(text),
                                "Server.ListenStream= says %s, but %s does not listen there: it will with \"systemctl "
                                "daemon-reload && systemctl restart %s%s%s.%s\".", at, l->daemon, l->daemon,
                                l->instance ? "@" : "", l->instance ? l->instance : "",
                                l->inherited ? "socket" : "service");
                r = found(text, userdata);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Where it is done and not said. */
static int find_surplus(const ConfCommon *conf, const ConfListening *l, ConfDriftFound found, void *userdata) {
        for (size_t k = 0; k < l->n_endpoints; k++) {
                char at[ENDPOINT_TEXT_SIZE], text[SENTENCE_MAX];
                bool said = false;
                int r;

                for (size_t i = 0; i < conf->n_listen && !said; i++)
                        said = listen_matches(&conf->listen[i], &l->endpoints[k]);
                if (said)
                        continue;
                endpoint_to_text(&l->endpoints[k], at);
                (void) snprintf(text, sizeof(text), "%s listens on %s, which Server.ListenStream= does not say.",
                                l->daemon, at);
                r = found(text, userdata);
                if (r < 0)
                        return r;
        }
        return 0;
}

int conf_find_drift(const ConfCommon *conf, const ConfListening *l, ConfDriftFound found, void *userdata) {
        int r;

        r = find_missing(conf, l, found, userdata);
        return r < 0 ? r : find_surplus(conf, l, found, userdata);
}
