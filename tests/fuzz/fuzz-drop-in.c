/* SPDX-License-Identifier: BSD-2-Clause */
/* The bytes of a peer.ini become drop-ins: whatever is in it, only lines of these kinds come out, and no more of them than there may be. */
#include "core/text.h"
#include "generator/drop-in.h"
#include "io/conf-internal.h"
#include "io/conf-sockets.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_lines(Slice text) {
        static const char *const kinds[] = {
                "# ", "[Unit]", "[Socket]", "[Service]", "SourcePath=/etc/", "ListenStream=", "BindIPv6Only=ipv6-only",
                "IPAddressDeny=", "IPAddressAllow=", "ConditionPathExists=!/", "ReadWritePaths=\"-/", "ReadWritePaths='-/",
        };
        Slice line;

        while (slice_split(&text, '\n', &line)) {
                bool known = line.size == 0;

                for (size_t i = 0; i < ELEMENTSOF(kinds) && !known; i++)
                        known = slice_starts_with(line, kinds[i]);
                if (!known || !text_is_utf8(line) || text_has_control(line) ||
                    (line.size > 0 && line.data[line.size - 1] == '\\'))
                        abort();
        }
}

static void check(const DropIn *d) {
        _cleanup_buf_ Buf socket = BUF_INIT(DROP_IN_MAX), service = BUF_INIT(DROP_IN_MAX);

        if (drop_in_socket(d, &socket) != 0 || drop_in_service(d, &service) != 0)
                abort();
        check_lines(buf_slice(&socket));
        check_lines(buf_slice(&service));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Slice bytes = { (const char *) data, size };
        char reason[CONF_FAULT_SIZE];
        ConfIssues issues = { 0 };
        void *conf = NULL;

        /* Names of users ask the name services of this machine: nothing that an input should do a million times. */
        if (memmem(data, size, "Allow", 5) && memmem(data, size, "[Control]", 9))
                return 0;
        if (conf_load_bytes(CONF_PEER, "fuzz.ini", bytes, &conf, &issues) == 0) {
                PeerConf *c = conf;
                DropIn d = {
                        .source = "/etc/p2pdi/peer.ini", .common = &c->common, .store_path = c->store_path,
                        .listen_file = c->common.listen_is_preset ? NULL : "/etc/p2pdi/peer.ini",
                        .state_dir = "/var/lib/p2pdi",
                };

                if (conf_listen_check(c->common.listen, c->common.n_listen, reason) == 0)
                        check(&d);
                (void) peer_conf_free(c);
        }
        conf_issues_done(&issues);
        return 0;
}
