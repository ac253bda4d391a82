/* shards/tools/mkpasswd.c - `myelin mkpasswd`: a bcrypt hash for `password` or `token` of a configuration.
 * Makes a password unless one comes from the terminal or the standard input. */
#include "core/base/language.h"
#include "core/base/random.h"
#include "core/security/password.h"
#include "shards/tools/tool.h"

#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

enum {
    MADE_LETTERS = 22, /* 72 letters to choose from: 135 bits */
    LINE_BYTES = 1024,
    COST_LEAST = 4,
    COST_MOST = 31,
};

static const char usage[] =
    "Usage: myelin mkpasswd [-p | --password-stdin] [-c COST]\n"
    "    -p, --password      ask for the password twice, on the terminal\n"
    "    --password-stdin    read it from the standard input, and print the hash alone\n"
    "    -c, --cost COST     the weight, from 4 to 31 (11); each step doubles the time\n"
    "Without -p or --password-stdin a password is made and printed with its hash.\n";

/* Each letter equally likely: bytes above the last multiple of their number are thrown away. */
static bool make_password(char out[MADE_LETTERS + 1])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!@$#%^&*()";
    enum { LETTERS = sizeof letters - 1, USABLE = 256 / LETTERS * LETTERS };
    for (int i = 0; i < MADE_LETTERS;) {
        uint8_t byte;
        if (random_secure(&byte, sizeof byte) != ERR_OK)
            return false;
        if (byte < USABLE)
            out[i++] = letters[byte % LETTERS];
    }
    out[MADE_LETTERS] = 0;
    return true;
}

/* One line without its end. False: there is none, or it is too long. */
static bool read_line(FILE *in, char line[LINE_BYTES])
{
    if (fgets(line, LINE_BYTES, in) == NULL)
        return false;
    size_t count = strcspn(line, "\r\n");
    bool whole = line[count] != 0 || feof(in);
    line[count] = 0;
    return whole;
}

/* One line that the terminal does not show. */
static bool read_hidden(const struct tool_streams *streams, const char *prompt, char line[LINE_BYTES])
{
    struct termios shown;
    int fd = fileno(streams->in);
    bool terminal = isatty(fd) == 1 && tcgetattr(fd, &shown) == 0;
    fputs(prompt, streams->out);
    fflush(streams->out);
    if (terminal) {
        struct termios hidden = shown;
        hidden.c_lflag &= ~(tcflag_t)ECHO;
        (void)tcsetattr(fd, TCSAFLUSH, &hidden);
    }
    bool read = read_line(streams->in, line);
    if (terminal)
        (void)tcsetattr(fd, TCSAFLUSH, &shown);
    fputs("\n", streams->out);
    return read;
}

static bool ask(const struct tool_streams *streams, char password[LINE_BYTES])
{
    char again[LINE_BYTES] = "";
    bool read = read_hidden(streams, "Enter Password: ", password) &&
                read_hidden(streams, "Reenter Password: ", again);
    bool same = read && strcmp(password, again) == 0;
    explicit_bzero(again, sizeof again);
    if (!same)
        fputs(read ? "Error, passwords do not match\n" : "Error, no password\n", streams->err);
    return same;
}

static int print_hash(const struct tool_streams *streams, const char *password, int cost, bool alone)
{
    char hash[PASSWORD_HASH_BYTES + 1];
    if (strlen(password) > PASSWORD_HASHED_BYTES_MAX) {
        fprintf(streams->err,
                "Error, bcrypt looks at no more than %d bytes of a password: this one is longer\n",
                PASSWORD_HASHED_BYTES_MAX);
        return 1;
    }
    enum err err = password_hash(hash, text(password), cost);
    if (err != ERR_OK) {
        fprintf(streams->err, "Error producing bcrypt hash: %s\n", err_text(err));
        return 1;
    }
    fprintf(streams->out, "%s%s\n", alone ? "" : "bcrypt hash: ", hash);
    return fflush(streams->out) == 0 ? 0 : 1;
}

/* The password from where the options say; false when there is none, which was said. */
static bool get_password(const struct tool_streams *streams, int ask_for, int from_stdin,
                         char password[LINE_BYTES])
{
    if (from_stdin) {
        bool read = read_line(streams->in, password);
        if (!read)
            fputs("Error, no password on the standard input\n", streams->err);
        return read;
    }
    if (ask_for)
        return ask(streams, password);
    if (!make_password(password)) {
        fputs("Error, the kernel has no random bytes\n", streams->err);
        return false;
    }
    fprintf(streams->out, "pass: %s\n", password);
    return true;
}

int tool_mkpasswd(int count, char *const arguments[], const struct tool_streams *streams)
{
    int ask_for = 0, from_stdin = 0, help = 0;
    const char *cost_text = NULL;
    const struct tool_option options[] = {
        {"p", NULL, &ask_for},   {"password", NULL, &ask_for}, {"password-stdin", NULL, &from_stdin},
        {"c", &cost_text, NULL}, {"cost", &cost_text, NULL},   {"h", NULL, &help},
        {"help", NULL, &help},
    };
    const char *wrong = tool_options_read(options, COUNT_OF(options), count, arguments);
    if (wrong != NULL || help || (ask_for && from_stdin)) {
        fputs(usage, help ? streams->out : streams->err);
        return help ? 0 : 1;
    }
    char *end = NULL;
    long cost = cost_text == NULL ? PASSWORD_HASH_COST : strtol(cost_text, &end, 10);
    if (cost_text != NULL && (*cost_text == 0 || *end != 0 || cost < COST_LEAST || cost > COST_MOST)) {
        fprintf(streams->err, "Error, the cost must be from %d to %d, not %s\n", COST_LEAST, COST_MOST,
                cost_text);
        return 1;
    }
    char password[LINE_BYTES] = "";
    int exit_code = 1;
    if (get_password(streams, ask_for, from_stdin, password))
        exit_code = print_hash(streams, password, (int)cost, from_stdin);
    explicit_bzero(password, sizeof password);
    return exit_code;
}
