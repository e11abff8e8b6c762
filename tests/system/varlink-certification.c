/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * org.varlink.certification over this tree's Varlink, both sides, for an independent implementation to try it:
 *
 *   varlink-certification server FD     serves on the listening socket FD until SIGTERM, and says what it was called
 *   varlink-certification client PATH   goes through the whole interface as a client; exit status 0: all was right
 *
 * The interface is a chain: what a method answers is what the next one is given. So one table serves both sides.
 */

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "core/buf.h"
#include "io/varlink-client.h"
#include "io/varlink-internal.h"

#define NAME "org.varlink.certification"
#define CLIENTS_MAX 16

static const char description[] =
        "# Interface to test varlink implementations against.\n"
        "interface " NAME "\n"
        "\n"
        "type Interface (\n"
        "  foo: ?[]?[string](foo, bar, baz),\n"
        "  anon: (foo: bool, bar: bool)\n"
        ")\n"
        "\n"
        "type MyType (\n"
        "  object: object,\n"
        "  enum: (one, two, three),\n"
        "  struct: (first: int, second: string),\n"
        "  array: []string,\n"
        "  dictionary: [string]string,\n"
        "  stringset: [string](),\n"
        "  nullable: ?string,\n"
        "  nullable_array_struct: ?[](first: int, second: string),\n"
        "  interface: Interface\n"
        ")\n"
        "\n"
        "method Start() -> (client_id: string)\n"
        "\n"
        "method Test01(client_id: string) -> (bool: bool)\n"
        "\n"
        "method Test02(client_id: string, bool: bool) -> (int: int)\n"
        "\n"
        "method Test03(client_id: string, int: int) -> (float: float)\n"
        "\n"
        "method Test04(client_id: string, float: float) -> (string: string)\n"
        "\n"
        "method Test05(client_id: string, string: string) -> (bool: bool, int: int, float: float, string: string)\n"
        "\n"
        "method Test06(client_id: string, bool: bool, int: int, float: float, string: string) -> (\n"
        "  struct: (bool: bool, int: int, float: float, string: string)\n"
        ")\n"
        "\n"
        "method Test07(client_id: string, struct: (bool: bool, int: int, float: float, string: string)) -> (\n"
        "  map: [string]string\n"
        ")\n"
        "\n"
        "method Test08(client_id: string, map: [string]string) -> (set: [string]())\n"
        "\n"
        "method Test09(client_id: string, set: [string]()) -> (mytype: MyType)\n"
        "\n"
        "# returns more than one reply with \"continues\"\n"
        "method Test10(client_id: string, mytype: MyType) -> (string: string)\n"
        "\n"
        "method Test11(client_id: string, last_more_replies: []string) -> ()\n"
        "\n"
        "method End(client_id: string) -> (all_ok: bool)\n"
        "\n"
        "error ClientIdError()\n"
        "\n"
        "error CertificationError(wants: object, got: object)\n";

#define FLAT "\"bool\": false, \"int\": 2, \"float\": 3.141592653589793, \"string\": \"a lot of string\""
#define STRUCT "{\"struct\": {" FLAT "}}"
#define MAP "{\"map\": {\"foo\": \"Foo\", \"bar\": \"Bar\"}}"
#define SET "{\"set\": {\"one\": {}, \"two\": {}, \"three\": {}}}"
#define MYTYPE                                                                                                         \
        "{\"mytype\": {"                                                                                               \
        "\"object\": {\"method\": \"" NAME ".Test09\", \"parameters\": " MAP "},"                                      \
        "\"enum\": \"two\","                                                                                           \
        "\"struct\": {\"first\": 1, \"second\": \"2\"},"                                                               \
        "\"array\": [\"one\", \"two\", \"three\"],"                                                                    \
        "\"dictionary\": {\"foo\": \"Foo\", \"bar\": \"Bar\"},"                                                        \
        "\"stringset\": {\"one\": {}, \"two\": {}, \"three\": {}},"                                                    \
        "\"nullable\": null, \"nullable_array_struct\": null,"                                                         \
        "\"interface\": {"                                                                                             \
        "\"foo\": [null, {\"Foo\": \"foo\", \"Bar\": \"bar\"}, null, {\"one\": \"foo\", \"two\": \"bar\"}],"           \
        "\"anon\": {\"foo\": true, \"bar\": false}}}}"
#define REPLIES                                                                                                        \
        "{\"last_more_replies\": [\"Reply number 1\", \"Reply number 2\", \"Reply number 3\", \"Reply number 4\", "    \
        "\"Reply number 5\", \"Reply number 6\", \"Reply number 7\", \"Reply number 8\", \"Reply number 9\", "         \
        "\"Reply number 10\"]}"

/* In order. Beside `takes` each but Start takes the client_id. Test10 answers one string of REPLIES in each reply. */
static const struct Step {
        const char *method, *takes, *gives;
} steps[] = {
        { NAME ".Start", "{}", NULL },
        { NAME ".Test01", "{}", "{\"bool\": true}" },
        { NAME ".Test02", "{\"bool\": true}", "{\"int\": 1}" },
        { NAME ".Test03", "{\"int\": 1}", "{\"float\": 1.0}" },
        { NAME ".Test04", "{\"float\": 1.0}", "{\"string\": \"ping\"}" },
        { NAME ".Test05", "{\"string\": \"ping\"}", "{" FLAT "}" },
        { NAME ".Test06", "{" FLAT "}", STRUCT },
        { NAME ".Test07", STRUCT, MAP },
        { NAME ".Test08", MAP, SET },
        { NAME ".Test09", SET, MYTYPE },
        { NAME ".Test10", MYTYPE, REPLIES },
        { NAME ".Test11", REPLIES, "{}" },
        { NAME ".End", "{}", "{\"all_ok\": true}" },
};

static json_t *json_of(const char *text) {
        json_t *j = json_loads(text, 0, NULL);

        assert(j);
        return j;
}

static bool same(const json_t *a, const json_t *b);

/* All of a is in b; what is null is as good as absent. */
static bool object_is_in(const json_t *a, const json_t *b) {
        const char *key;
        json_t *value;

        json_object_foreach((json_t *) (uintptr_t) a, key, value)
                if (!json_is_null(value) && !same(value, json_object_get(b, key)))
                        return false;
        return true;
}

/* As json_equal(), but 1 is 1.0. */
static bool same(const json_t *a, const json_t *b) {
        if (json_is_number(a) && json_is_number(b))
                return fabs(json_number_value(a) - json_number_value(b)) <= 0;
        if (json_is_object(a) && json_is_object(b))
                return object_is_in(a, b) && object_is_in(b, a);
        if (json_is_array(a) && json_is_array(b)) {
                bool good = json_array_size(a) == json_array_size(b);

                for (size_t i = 0; good && i < json_array_size(a); i++)
                        good = same(json_array_get(a, i), json_array_get(b, i));
                return good;
        }
        return json_equal(a, b);
}

/* ---- server ---- */

typedef struct Certification {
        unsigned last_id;
        unsigned clients[CLIENTS_MAX];  /* 0: a free place. The oldest makes room */
} Certification;

static const struct Step *step_of(const char *method) {
        for (size_t i = 0; i < ELEMENTSOF(steps); i++)
                if (strcmp(steps[i].method, method) == 0)
                        return &steps[i];
        assert(false);
        return NULL;
}

static int run_start(VarlinkCall *call, _unused_ json_t *parameters, void *userdata) {
        Certification *c = userdata;
        char id[16];

        c->last_id++;
        c->clients[c->last_id % CLIENTS_MAX] = c->last_id;
        (void) snprintf(id, sizeof(id), "%u", c->last_id);
        return varlink_call_reply(call, json_pack("{s:s}", "client_id", id));
}

static unsigned *client_of(Certification *c, const json_t *parameters) {
        const char *text = json_string_value(json_object_get(parameters, "client_id"));
        unsigned long id = strtoul(text, NULL, 10);

        return id > 0 && id <= c->last_id && c->clients[id % CLIENTS_MAX] == id ? &c->clients[id % CLIENTS_MAX] : NULL;
}

/* Test11 must be called oneway, Test10 with more. */
static bool call_is_right(const VarlinkCall *call, const char *method) {
        if (strcmp(method, NAME ".Test10") == 0)
                return varlink_call_wants_more(call);
        return strcmp(method, NAME ".Test11") != 0 || call->oneway;
}

static int reply_many(VarlinkCall *call, const json_t *replies) {
        const json_t *texts = json_object_get(replies, "last_more_replies");
        size_t n = json_array_size(texts);

        for (size_t i = 0; i + 1 < n; i++)
                if (varlink_call_notify(call, json_pack("{s:O}", "string", json_array_get(texts, i))) < 0)
                        return -ENOBUFS;
        return varlink_call_reply(call, json_pack("{s:O}", "string", json_array_get(texts, n - 1)));
}

static int run_step(VarlinkCall *call, json_t *parameters, void *userdata) {
        const struct Step *step = step_of(call->method->name);
        unsigned *client = client_of(userdata, parameters);
        json_t *wants, *gives;
        bool good;
        int r;

        if (!client)
                return varlink_call_error(call, NAME ".ClientIdError", NULL);
        (void) json_object_del(parameters, "client_id");
        wants = json_of(step->takes);
        good = same(wants, parameters) && call_is_right(call, step->method);
        /* Who calls oneway is not told: so it is told here. */
        printf("%s: %s\n", step->method, good ? "ok" : "not the expected call");
        if (!good)
                return varlink_call_error(call, NAME ".CertificationError",
                                          json_pack("{s:o, s:O}", "wants", wants, "got", parameters));
        json_decref(wants);
        if (strcmp(step->method, NAME ".End") == 0)
                *client = 0;
        gives = json_of(step->gives);
        if (strcmp(step->method, NAME ".Test10") != 0)
                return varlink_call_reply(call, gives);
        r = reply_many(call, gives);
        json_decref(gives);
        return r;
}

#define ID { "client_id", VARLINK_STRING }
static const VarlinkParameter p_id[] = { ID, {} }, p_bool[] = { ID, { "bool", VARLINK_BOOL }, {} },
        p_int[] = { ID, { "int", VARLINK_INT }, {} }, p_float[] = { ID, { "float", VARLINK_FLOAT }, {} },
        p_string[] = { ID, { "string", VARLINK_STRING }, {} },
        p_flat[] = { ID, { "bool", VARLINK_BOOL }, { "int", VARLINK_INT }, { "float", VARLINK_FLOAT },
                     { "string", VARLINK_STRING }, {} },
        p_struct[] = { ID, { "struct", VARLINK_OBJECT }, {} }, p_map[] = { ID, { "map", VARLINK_OBJECT }, {} },
        p_set[] = { ID, { "set", VARLINK_OBJECT }, {} }, p_mytype[] = { ID, { "mytype", VARLINK_OBJECT }, {} },
        p_replies[] = { ID, { "last_more_replies", VARLINK_STRING_ARRAY }, {} };

static const VarlinkMethod methods[] = {
        { NAME ".Start", 0, NULL, run_start },        { NAME ".Test01", 0, p_id, run_step },
        { NAME ".Test02", 0, p_bool, run_step },      { NAME ".Test03", 0, p_int, run_step },
        { NAME ".Test04", 0, p_float, run_step },     { NAME ".Test05", 0, p_string, run_step },
        { NAME ".Test06", 0, p_flat, run_step },      { NAME ".Test07", 0, p_struct, run_step },
        { NAME ".Test08", 0, p_map, run_step },       { NAME ".Test09", 0, p_set, run_step },
        { NAME ".Test10", VARLINK_MAY_MORE, p_mytype, run_step },
        { NAME ".Test11", 0, p_replies, run_step },   { NAME ".End", 0, p_id, run_step },
        {},
};

static int on_term(sd_event_source *s, _unused_ const struct signalfd_siginfo *si, _unused_ void *userdata) {
        return sd_event_exit(sd_event_source_get_event(s), 0);
}

static int serve(int fd) {
        static const VarlinkInterface interface = { NAME, description, methods };
        Certification certification = {};
        const VarlinkServerConf conf = {
                .vendor = "P2P-DI", .product = "Certification", .version = PACKAGE_VERSION, .url = "https://varlink.org/",
                .interfaces = { &interface },
                .userdata = &certification,
        };
        _cleanup_(varlink_server_free_p) VarlinkServer *server = NULL;
        sd_event *event = NULL;
        sigset_t term;
        int r;

        signal(SIGPIPE, SIG_IGN);
        (void) sigemptyset(&term);
        (void) sigaddset(&term, SIGTERM);
        (void) sigprocmask(SIG_BLOCK, &term, NULL);
        r = sd_event_new(&event);
        if (r >= 0)
                r = sd_event_add_signal(event, NULL, SIGTERM, on_term, NULL);
        if (r >= 0)
                r = varlink_server_new(event, &conf, &server);
        if (r >= 0)
                r = varlink_server_add_fd(server, fd);
        if (r >= 0)
                r = sd_event_loop(event);
        if (r < 0)
                fprintf(stderr, "%s\n", strerror(-r));
        server = varlink_server_free(server);
        sd_event_unref(event);
        return r < 0 ? 1 : 0;
}

/* ---- client ---- */

/* All replies of a call; those of Test10 are put together as the next call wants them. NULL: told. */
static json_t *receive(VarlinkClient *c, const struct Step *step) {
        bool many = strcmp(step->method, NAME ".Test10") == 0, continues = true;
        json_t *texts = json_array(), *reply = NULL;
        const char *error;
        int r;

        while (continues) {
                json_decref(reply);
                reply = NULL;
                r = varlink_client_receive(c, &reply, &error, &continues, NULL);
                if (r == 0 && !error && !(continues && !many)) {
                        (void) json_array_append(texts, json_object_get(reply, "string"));
                        continue;
                }
                fprintf(stderr, "%s: %s (%d)\n", step->method, r == 0 && error ? error : "no reply", r);
                json_decref(texts);
                json_decref(reply);
                return NULL;
        }
        if (!many) {
                json_decref(texts);
                return reply;
        }
        json_decref(reply);
        return json_pack("{s:o}", "last_more_replies", texts);
}

/* One step; *chain: what the last one gave, and then what this one does. client_id: NULL in the first. */
static int take_step(VarlinkClient *c, const struct Step *step, json_t **chain, json_t **client_id) {
        bool oneway = strcmp(step->method, NAME ".Test11") == 0;
        int flags = oneway ? VARLINK_CLIENT_ONEWAY : strcmp(step->method, NAME ".Test10") == 0 ? VARLINK_CLIENT_MORE : 0;
        json_t *reply, *expected;
        bool good;

        if (*client_id)
                (void) json_object_set(*chain, "client_id", *client_id);
        if (varlink_client_send(c, step->method, TAKE_PTR(*chain), flags, -1) != 0) {
                fprintf(stderr, "%s: can't be sent\n", step->method);
                return -EIO;
        }
        reply = oneway ? json_object() : receive(c, step);
        if (!reply)
                return -EIO;
        if (!step->gives) {
                *client_id = json_incref(json_object_get(reply, "client_id"));
                good = json_is_string(*client_id) && json_object_size(reply) == 1;
                json_object_clear(reply);
        } else {
                expected = json_of(step->gives);
                good = same(reply, expected);
                json_decref(expected);
        }
        printf("%s: %s\n", step->method, good ? "ok" : "not the expected reply");
        *chain = reply;
        /* What Test01 and End are given is not what the step before gave. */
        if (!step->gives || oneway)
                json_object_clear(reply);
        return good ? 0 : -EBADMSG;
}

static int ask(const char *path) {
        _cleanup_(varlink_client_free_p) VarlinkClient *c = NULL;
        json_t *chain = json_object(), *client_id = NULL;
        int r;

        r = varlink_client_connect(path, USEC_PER_MINUTE, &c);
        if (r != 0)
                fprintf(stderr, "%s: %d\n", path, r);
        for (size_t i = 0; r == 0 && i < ELEMENTSOF(steps); i++)
                r = take_step(c, &steps[i], &chain, &client_id);
        json_decref(chain);
        json_decref(client_id);
        return r == 0 ? 0 : 1;
}

int main(int argc, char **argv) {
        if (argc == 3 && strcmp(argv[1], "server") == 0)
                return serve(atoi(argv[2]));
        if (argc == 3 && strcmp(argv[1], "client") == 0)
                return ask(argv[2]);
        fprintf(stderr, "usage: %s server FD | client PATH\n", argv[0]);
        return 2;
}
