/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/help.h"

#include "ctl/options.h"

/* Where the texts begin. */
#define VERB_WIDTH 22
#define OPTION_WIDTH 24

/* "…" is three bytes and one column. */
static int padded(const char *text, int width) {
        return strstr(text, "…") ? width + 2 : width;
}

static void show_verb(FILE *f, const Verb *v) {
        char left[64];

        (void) snprintf(left, sizeof(left), "%s %s", v->name, v->arguments);
        fprintf(f, "  %-*s %s\n", padded(left, VERB_WIDTH), left, v->help);
}

static void show_option(FILE *f, const Option *o) {
        char letter[] = { '-', o->letter, '\0' }, left[64];
        bool has_name = o->name[0];

        (void) snprintf(left, sizeof(left), "%2s %s%s%s%s", o->letter ? letter : "", has_name ? "--" : "", o->name,
                        o->argument ? "=" : "", o->argument ? o->argument : "");
        if (strlen(left) > OPTION_WIDTH)
                fprintf(f, "  %s\n  %*s %s\n", left, OPTION_WIDTH, "", o->help);
        else
                fprintf(f, "  %-*s %s\n", OPTION_WIDTH, left, o->help);
}

static void show_heading(FILE *f, const ShowStyle *style, const char *heading) {
        fprintf(f, "\n%s%s:%s\n", show_colour(style, SHOW_UNDERLINE), heading, show_colour(style, SHOW_PLAIN));
}

void help_show(FILE *f, const ShowStyle *style) {
        fprintf(f,
                "p2pdi-ctl [OPTIONS…] [VERB|RFC] …\n"
                "%sGet RFCs from other peers, and see what p2pdi-peerd and p2pdi-rsd do.%s\n",
                show_colour(style, SHOW_BOLD), show_colour(style, SHOW_PLAIN));
        show_heading(f, style, "Verbs");
        for (size_t i = 0; i < n_verbs; i++)
                show_verb(f, &verbs[i]);
        show_heading(f, style, "Options");
        for (size_t i = 0; i < n_options; i++)
                if (option_exists(&options[i]))
                        show_option(f, &options[i]);
        fputs("\nSee p2pdi-ctl(1).\n", f);
}
