/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/pager.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <systemd/sd-login.h>

#include "ctl/terminal.h"
#include "io/conf-values.h"

#define LESS_DEFAULT "FRSXMK"
/* Words of $PAGER; more is a shell's matter. */
#define PAGER_WORDS_MAX 16

static pid_t pager_pid;         /* 0: none */
static bool pager_was_opened;

/* The words of s, which is cut for it. */
static size_t split(char *s, char *ret[PAGER_WORDS_MAX + 1]) {
        size_t n = 0;
        char *state = NULL;

        for (char *word = strtok_r(s, " \t\n", &state); word && n < PAGER_WORDS_MAX;
             word = strtok_r(NULL, " \t\n", &state))
                ret[n++] = word;
        ret[n] = NULL;
        return n;
}

/* Do we act for somebody else, who shall get nothing out of it but this output? */
static bool is_borrowed_power(void) {
        const char *sudo = getenv("SUDO_UID");
        uid_t owner;

        if (geteuid() != getuid() || getegid() != getgid())
                return true;
        if (geteuid() == 0 && sudo && strcmp(sudo, "0") != 0)
                return true;
        return sd_pid_get_owner_uid(0, &owner) >= 0 && owner != geteuid();
}

static void set_or_unset(const char *name, const char *value) {
        if (value)
                (void) setenv(name, value, 1);
        else
                (void) unsetenv(name);
}

/* In the child. */
static _Noreturn void pager_run(char **wanted) {
        const char *text = getenv("SYSTEMD_PAGERSECURE"), *less = getenv("SYSTEMD_LESS");
        bool told = false, secure = false;

        if (text) {
                told = conf_parse_bool(slice_of(text), &secure) == 0;
                /* Whoever wanted to say something about it wanted it safe. */
                secure = secure || !told;
        } else
                secure = is_borrowed_power();
        set_or_unset("LESS", less ? less : LESS_DEFAULT);
        if (getenv("SYSTEMD_LESSCHARSET"))
                set_or_unset("LESSCHARSET", getenv("SYSTEMD_LESSCHARSET"));
        set_or_unset("LESSSECURE", secure ? "1" : NULL);

        /* Only less is known to have a secure mode; another pager has what $SYSTEMD_PAGERSECURE vouches for. */
        if (wanted[0] && (told || !secure))
                execvp(wanted[0], wanted);
        execlp("less", "less", (char *) NULL);
        /* Short output shall not wait for a key either: as the F of less. */
        if (!secure)
                execlp("more", "more", "-e", (char *) NULL);
        execlp("cat", "cat", (char *) NULL);
        _exit(EXIT_FAILURE);
}

static void pager_child(int in, char **wanted, pid_t parent) {
        sigset_t none;

        sigemptyset(&none);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);
        (void) signal(SIGPIPE, SIG_DFL);
        (void) signal(SIGINT, SIG_DFL);
        /* Nobody shall be left with a pager in front of a tool that was killed. */
        (void) prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent || dup2(in, STDIN_FILENO) < 0)
                _exit(EXIT_FAILURE);
        pager_run(wanted);
}

int pager_open(void) {
        const char *pager = getenv("SYSTEMD_PAGER");
        _cleanup_free_ char *copy = NULL;
        char *words[PAGER_WORDS_MAX + 1] = { NULL };
        pid_t parent = getpid(), pid;
        int fds[2], r;

        if (pager_was_opened || !terminal_is_smart(STDOUT_FILENO))
                return 0;
        if (!pager)
                pager = getenv("PAGER");
        if (pager) {
                copy = strdup(pager);
                if (!copy)
                        return -ENOMEM;
                if (split(copy, words) == 0 || (strcmp(words[0], "cat") == 0 && !words[1]))
                        return 0;
        }
        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        fflush(stdout);
        pid = fork();
        if (pid == 0)
                pager_child(fds[0], words, parent);
        r = pid < 0 || dup2(fds[1], STDOUT_FILENO) < 0 ? -errno : 0;
        close(fds[0]);
        close(fds[1]);
        if (pid > 0) {
                pager_pid = pid;
                pager_was_opened = true;
                (void) signal(SIGPIPE, SIG_IGN);
                (void) signal(SIGINT, SIG_IGN);
        }
        return r;
}

bool pager_is_open(void) {
        return pager_was_opened;
}

void pager_close(void) {
        if (pager_pid == 0)
                return;
        /* Its input ends here; main() looked at what became of the output. */
        (void) fflush(stdout);
        close(STDOUT_FILENO);
        (void) kill(pager_pid, SIGCONT);
        while (waitpid(pager_pid, NULL, 0) < 0 && errno == EINTR)
                ;
        pager_pid = 0;
}
