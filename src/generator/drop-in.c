/* SPDX-License-Identifier: BSD-2-Clause */
#include "generator/drop-in.h"

#include <limits.h>

#include "core/text.h"
#include "io/conf-sockets.h"

bool drop_in_can_name(const char *path) {
        size_t n = strlen(path);

        return path[0] == '/' && n < PATH_MAX && text_is_utf8(slice_of(path)) && !text_has_control(slice_of(path)) &&
               path[n - 1] != ' ' && path[n - 1] != '\\';
}

/* % begins a specifier. */
static int append_path(Buf *b, const char *path) {
        int r = 0;

        for (; *path && r == 0; path++)
                r = *path == '%' ? buf_append_string(b, "%%") : buf_append_char(b, *path);
        return r;
}

static int append_head(const DropIn *d, Buf *b) {
        int r;

        r = buf_append_string(b, "# made by p2pdi-socket-generator");
        if (r == 0 && d->source) {
                r = buf_append_string(b, " from ");
                if (r == 0)
                        r = buf_append_string(b, d->source);
                if (r == 0)
                        r = buf_append_string(b, "\n[Unit]\nSourcePath=");
                if (r == 0)
                        r = append_path(b, d->source);
        }
        return r == 0 ? buf_append_char(b, '\n') : r;
}

/*
 * A port that is free would be refused by systemd, and a unit that is masked could not be restarted by the one command that all
 * messages name: so the unit stays, and a condition that is never met keeps it from listening.
 */
static int append_never(const DropIn *d, Buf *b) {
        const char *file = drop_in_can_name(d->listen_file) ? d->listen_file : "/";
        int r;

        r = d->source ? 0 : buf_append_string(b, "[Unit]\n");
        if (r == 0)
                r = buf_append_string(b, "# ListenStream=auto: the daemon binds a port itself\nConditionPathExists=!");
        if (r == 0)
                r = append_path(b, file);
        return r == 0 ? buf_append_char(b, '\n') : r;
}

static int append_listen(const ConfListen *l, Buf *b) {
        char text[CONF_LISTEN_TEXT_SIZE];

        conf_listen_to_text(l, text);
        return buf_printf(b, "ListenStream=%s\n", text);
}

static bool has_ipv4(const ConfCommon *c, uint16_t port) {
        for (size_t i = 0; i < c->n_listen; i++)
                if (c->listen[i].endpoint.port == port && address_is_ipv4(&c->listen[i].endpoint.address))
                        return true;
        return false;
}

/* BindIPv6Only= is of the unit as a whole: ports that IPv4 has no socket of its own for get one. */
static int append_split(const ConfCommon *c, const ConfListen *l, Buf *b) {
        static const Address any = { { 0 } };
        int r;

        if (!address_equal(&l->endpoint.address, &any))
                return append_listen(l, b);
        r = buf_printf(b, "ListenStream=[::]:%u\n", l->endpoint.port);
        if (r == 0 && !has_ipv4(c, l->endpoint.port))
                r = buf_printf(b, "ListenStream=0.0.0.0:%u\n", l->endpoint.port);
        return r;
}

static int append_addresses(const ConfCommon *c, Buf *b) {
        bool splits = conf_listen_splits(c->listen, c->n_listen);
        int r;

        /* The empty one takes the shipped port away: without it there would be both. */
        r = buf_append_string(b, "ListenStream=\n");
        for (size_t i = 0; i < c->n_listen && r == 0; i++)
                r = splits ? append_split(c, &c->listen[i], b) : append_listen(&c->listen[i], b);
        return r == 0 && splits ? buf_append_string(b, "BindIPv6Only=ipv6-only\n") : r;
}

static int append_prefixes(const char *key, const Prefix *prefixes, size_t n, Buf *b) {
        int r = 0;

        for (size_t i = 0; i < n && r == 0; i++) {
                char text[ADDRESS_TEXT_SIZE + 4];

                prefix_to_text(&prefixes[i], text);
                r = buf_printf(b, "%s=%s\n", key, text);
        }
        return r;
}

/* For systemd an allow list alone denies nobody. */
static int append_access(const ConfCommon *c, Buf *b) {
        int r;

        r = c->n_allow > 0 && c->n_deny == 0 ? buf_append_string(b, "IPAddressDeny=any\n") :
                                               append_prefixes("IPAddressDeny", c->deny, c->n_deny, b);
        return r == 0 ? append_prefixes("IPAddressAllow", c->allow, c->n_allow, b) : r;
}

int drop_in_socket(const DropIn *d, Buf *b) {
        const ConfCommon *c = d->common;
        int r;

        r = append_head(d, b);
        if (r != 0 || !c)
                return r;
        if (d->listen_file && c->listen[0].is_auto)
                return append_never(d, b);
        if (!d->listen_file && c->n_allow == 0 && c->n_deny == 0)
                return 0;
        r = buf_append_string(b, "[Socket]\n");
        if (r == 0 && d->listen_file)
                r = append_addresses(c, b);
        return r == 0 ? append_access(c, b) : r;
}

/* Below it; also what ".." may lead out of is not. */
static bool is_below(const char *path, const char *dir) {
        size_t n = strlen(dir);

        return strncmp(path, dir, n) == 0 && (path[n] == '/' || path[n] == '\0') && !strstr(path, "/..");
}

/* Words in quotes may have anything in them but that quote. */
static int append_quoted(Buf *b, const char *path) {
        char quote = strchr(path, '"') ? '\'' : '"';
        int r;

        r = buf_append_char(b, quote);
        /* "-": a directory that is not there is the daemon's to tell, in words. */
        if (r == 0)
                r = buf_append_char(b, '-');
        if (r == 0)
                r = append_path(b, path);
        return r == 0 ? buf_append_char(b, quote) : r;
}

int drop_in_service(const DropIn *d, Buf *b) {
        const char *path = d->store_path;
        int r;

        if (!d->common || !path || is_below(path, d->state_dir))
                return 0;
        if (!drop_in_can_name(path) || (strchr(path, '"') && strchr(path, '\'')))
                return 0;               /* the daemon says that it can't write there */
        r = append_head(d, b);
        if (r == 0)
                r = buf_append_string(b, "[Service]\nReadWritePaths=");
        if (r == 0)
                r = append_quoted(b, path);
        return r == 0 ? buf_append_char(b, '\n') : r;
}
