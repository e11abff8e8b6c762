/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/verb-config.h"

#include <errno.h>
#include <stdio.h>

#include "core/buf.h"
#include "core/text.h"
#include "ctl/verbs.h"
#include "io/conf-files.h"
#include "io/conf-ini.h"

int config_choose(Ctl *ctl, int argc, char **argv, ConfProgram *ret) {
        bool rs = ctl->rs;
        int r;

        if (argc > 0 && strcmp(argv[0], "rs") == 0)
                rs = true;
        else if (argc > 0 && (strcmp(argv[0], "peer") != 0 || rs))
                return ctl_fail(CTL_USAGE, rs ? "With --rs it is rs, not '%s'." : "'%s' is neither rs nor peer.",
                                argv[0]);
        r = ctl_choose_daemon(ctl, rs);
        if (r != 0)
                return r;
        if (ctl->config && ctl->instance)
                return ctl_fail(CTL_USAGE, "--instance= and --config= each say which files: not both.");
        *ret = rs ? CONF_RS : CONF_PEER;
        return 0;
}

/* ---- cat-config ---- */

/* Bytes as they are; on a terminal each line escaped, but for tabs. */
static int show_content(const Ctl *ctl, Slice content) {
        Slice rest = content, line;

        if (content.size == 0)
                return 0;
        if (ctl->style.width == 0) {
                (void) fwrite(content.data, 1, content.size, stdout);
                if (content.data[content.size - 1] != '\n')
                        putchar('\n');
                return 0;
        }
        if (rest.data[rest.size - 1] == '\n')
                rest.size--;
        while (slice_split(&rest, '\n', &line)) {
                _cleanup_buf_ Buf b = BUF_INIT(8 * CONF_INI_FILE_MAX);
                Slice word;

                for (bool first = true; slice_split(&line, '\t', &word); first = false)
                        if ((!first && buf_append_char(&b, '\t') != 0) || text_escape(&b, word, 4 * word.size) != 0)
                                return -ENOMEM;
                printf("%.*s\n", (int) b.size, b.data);
        }
        return 0;
}

/* One file: to standard output, or to the array. 0, an exit code (told), < 0. */
static int cat_file(const Ctl *ctl, const char *path, bool first, json_t *array) {
        _cleanup_buf_ Buf bytes = BUF_INIT(CONF_INI_FILE_MAX + 1);
        _cleanup_(conf_issues_done) ConfIssues issues = {};
        ConfReport report = { .issues = &issues };
        json_t *content;
        int r;

        r = conf_read_file(path, !ctl->config, &report, &bytes);
        if (r < 0)
                return r;
        if (report.failed)
                return ctl_fail(CTL_FAILURE, "%s: %s", path, issues.issues[0].text);
        if (array) {
                content = json_stringn(bytes.data ? bytes.data : "", bytes.size);
                if (!content)
                        return ctl_fail(CTL_FAILURE, "%s: The file is not UTF-8, and can't be shown as JSON.", path);
                return json_array_append_new(array, json_pack("{s:s, s:o}", "path", path, "content", content)) < 0
                               ? -ENOMEM : 0;
        }
        if (!first)
                putchar('\n');
        fputs(show_colour(&ctl->style, SHOW_BLUE), stdout);
        show_text(stdout, "# %s", path);
        printf("%s\n", show_colour(&ctl->style, SHOW_PLAIN));
        return show_content(ctl, buf_slice(&bytes));
}

static int find_files(const Ctl *ctl, ConfProgram program, StringList *ret) {
        StringList files;

        if (!ctl->config)
                return conf_files(program, ctl->instance, ret);
        files = calloc(2, sizeof(*files));
        if (!files)
                return -ENOMEM;
        files[0] = strdup(ctl->config);
        if (!files[0]) {
                free(files);
                return -ENOMEM;
        }
        *ret = files;
        return 0;
}

int verb_cat_config(Ctl *ctl, int argc, char **argv) {
        _cleanup_(string_list_free_p) StringList files = NULL;
        ConfProgram program;
        json_t *array = NULL;
        int code = 0, r;

        r = config_choose(ctl, argc, argv, &program);
        if (r == 0)
                r = find_files(ctl, program, &files);
        if (r != 0)
                return r;
        if (!files[0] && ctl->instance)
                return ctl_fail(CTL_FAILURE, "There is no peer@%s.ini.", ctl->instance);
        if (!files[0])
                ctl_note("There is no configuration file: all settings have their defaults.");
        if (ctl->json != SHOW_JSON_OFF && !(array = json_array()))
                return -ENOMEM;
        r = array ? 0 : ctl_open_pager(ctl);
        for (StringList f = files; r == 0 && *f; f++) {
                r = cat_file(ctl, *f, f == files, array);
                code = MAX_OF(code, r);
                r = MIN_OF(r, 0);       /* the others are shown all the same */
        }
        if (r == 0 && array)
                r = ctl_show_json(ctl, array);
        json_decref(array);
        return r < 0 ? r : code;
}
