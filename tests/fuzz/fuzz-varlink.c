/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/text.h"
#include "io/varlink-internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const VarlinkParameter table[] = {
        { "number", VARLINK_INT },
        { "word", VARLINK_STRING | VARLINK_OPTIONAL },
        { "flag", VARLINK_BOOL | VARLINK_OPTIONAL },
        { "numbers", VARLINK_INT_ARRAY | VARLINK_OPTIONAL },
        { "words", VARLINK_STRING_ARRAY | VARLINK_OPTIONAL },
        { "ratio", VARLINK_FLOAT | VARLINK_OPTIONAL },
        { "thing", VARLINK_OBJECT | VARLINK_OPTIONAL },
        { "things", VARLINK_OBJECT_ARRAY | VARLINK_OPTIONAL },
        {},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Slice rest = { (const char *) data, size }, s;

        while (slice_split(&rest, '\0', &s)) {
                VarlinkMessage m;

                if (varlink_message_parse(s, &m) != 0)
                        continue;
                if (!m.method || !json_is_object(m.parameters) || m.oneway + m.more + m.upgrade > 1)
                        abort();
                if (!varlink_parameters_check(table, m.parameters) &&
                    !json_is_integer(json_object_get(m.parameters, "number")))
                        abort();
                varlink_message_done(&m);
        }
        return 0;
}
