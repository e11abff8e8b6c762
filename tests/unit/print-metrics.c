/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Prints the table of metrics of a daemon, each with its type and with each value of its labels: `print-metrics rsd` or
 * `print-metrics peerd`. For check-man.sh.
 */
#include <stdio.h>

#include "core/text.h"
#include "peerd/metrics.h"
#include "rsd/metrics.h"

static const MetricInfo rsd[] = {
#define INFO(id, type, name, unit, labels, help) { name, METRIC_##type, unit, labels, help },
        RSD_METRICS(INFO)
}, peerd[] = {
        PEERD_METRICS(INFO)
#undef INFO
};

/* "kind=full|unchanged|;result=ok|": "NAME kind=", "NAME kind=full" and so on. "*" is what is known at run time only. */
static void print_labels(const MetricInfo *m) {
        Slice rest = slice_of(m->labels), label;

        while (rest.size > 0 && slice_split(&rest, ';', &label)) {
                Slice key, value;
                if (!slice_split(&label, '=', &key))
                        continue;
                printf("%s %.*s=\n", m->name, (int) key.size, key.data);
                while (label.size > 0 && slice_split(&label, '|', &value))
                        if (!slice_equal(value, SLICE_LITERAL("*")))
                                printf("%s %.*s=%.*s\n", m->name, (int) key.size, key.data, (int) value.size,
                                       value.data);
        }
}

int main(int argc, char *argv[]) {
        bool is_rsd = argc == 2 && strcmp(argv[1], "rsd") == 0;

        if (!is_rsd && (argc != 2 || strcmp(argv[1], "peerd") != 0)) {
                (void) fprintf(stderr, "Usage: print-metrics rsd|peerd\n");
                return 2;
        }
        for (size_t i = 0; i < (is_rsd ? ELEMENTSOF(rsd) : ELEMENTSOF(peerd)); i++) {
                const MetricInfo *m = is_rsd ? &rsd[i] : &peerd[i];
                printf("%s %s\n", m->name, metric_type_name(m->type));
                print_labels(m);
        }
        return ferror(stdout) ? 1 : 0;
}
