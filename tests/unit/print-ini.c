/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Prints the INI file that the table of keys makes: `print-ini rs` or `print-ini peer`. For check-ini.sh, and for etc/
 * when a key is new.
 */
#include <stdio.h>

#include "io/conf.h"

int main(int argc, char *argv[]) {
        bool rs = argc == 2 && strcmp(argv[1], "rs") == 0;

        if (!rs && (argc != 2 || strcmp(argv[1], "peer") != 0)) {
                (void) fprintf(stderr, "Usage: print-ini rs|peer\n");
                return 2;
        }
        return conf_print_template(rs ? CONF_RS : CONF_PEER) == 0 ? 0 : 1;
}
