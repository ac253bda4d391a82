/* shards/tools: what `myelin mkpasswd` and `myelin nk` print, over streams in memory and files of a folder of
 * their own. */
#include "core/base/language.h"
#include "core/security/nkey.h"
#include "core/security/password.h"
#include "shards/tools/tool.h"

#include <criterion/criterion.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ARGUMENTS_MAX = 12, OUT_BYTES = 4096 };

#define SEED "SUAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H776Y"
#define PUBLIC "UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK"
#define CURVE_SEED "SXAKBINCUOSKLJVHVCU2VK5MVWXK7MFRWKZ3JNNWW64LTOV3XS635P55JM"
#define NONCE "Zm9vYmFyYmF6cXV"
#define SIGNATURE "J0gm0V0fGYSB3izoLpG0ZBMMPp0YZuicBhjBQvEGh6sRdyt3YLr1nf2VMlsXhKgA7eh3lCaSQM1mLJkaNe0kBg"

static char folder[64];
static char out[OUT_BYTES], err[OUT_BYTES];

static int drop(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status;
    (void)kind;
    (void)walk;
    return remove(path);
}

static void make_folder(void)
{
    snprintf(folder, sizeof folder, "/tmp/myelin-tools-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
}

static void drop_folder(void)
{
    cr_assert_eq(chdir("/"), 0);
    (void)nftw(folder, drop, 4, FTW_DEPTH | FTW_PHYS);
}

static void write_file(const char *name, const char *content)
{
    FILE *file = fopen(name, "w");
    cr_assert_not_null(file);
    cr_assert(fputs(content, file) >= 0);
    cr_assert_eq(fclose(file), 0);
}

/* Runs a command line, words between blanks, with `input` on its standard input; its exit code. */
static int run(const char *line, const char *input)
{
    char copy[512], *arguments[ARGUMENTS_MAX];
    int count = 0;
    FILE *in = tmpfile();
    FILE *out_file = fmemopen(out, sizeof out, "w"), *err_file = fmemopen(err, sizeof err, "w");
    cr_assert(in != NULL && out_file != NULL && err_file != NULL);
    fputs(input, in);
    rewind(in);
    snprintf(copy, sizeof copy, "%s", line);
    for (char *rest = copy, *word; (word = strsep(&rest, " ")) != NULL && count < ARGUMENTS_MAX;)
        arguments[count++] = word;
    const struct tool *tool = tool_find(arguments[0]);
    cr_assert_not_null(tool);
    out[0] = err[0] = 0;
    int exit_code = tool->run(count, arguments, &(struct tool_streams){in, out_file, err_file});
    fclose(in);
    fclose(out_file);
    fclose(err_file);
    return exit_code;
}

Test(tools, are_found_by_name_and_not_behind_nats_server)
{
    cr_expect_not_null(tool_find("nk"));
    cr_expect_not_null(tool_find("mkpasswd"));
    cr_expect_null(tool_find("n"));
    cr_expect(tools_offered("myelin"));
    cr_expect_not(tools_offered("nats-server"));
}

Test(tools, mkpasswd_makes_a_password_and_its_hash)
{
    cr_assert_eq(run("mkpasswd -c 4", ""), 0, "%s", err);
    char *password = out + strlen("pass: "), *hash = strstr(out, "\nbcrypt hash: ");
    cr_assert(strncmp(out, "pass: ", 6) == 0 && hash != NULL, "%s", out);
    *hash = 0;
    hash += strlen("\nbcrypt hash: ");
    hash[strcspn(hash, "\n")] = 0;
    cr_expect_eq(strlen(password), 22);
    cr_expect_eq(strncmp(hash, "$2a$04$", 7), 0);
    cr_expect(password_check_bcrypt(text(hash), text(password)), "%s %s", password, hash);
}

Test(tools, mkpasswd_takes_a_password_from_its_input)
{
    cr_assert_eq(run("mkpasswd --cost=4 --password-stdin", "s3cret\nmore\n"), 0);
    out[strcspn(out, "\n")] = 0;
    cr_expect(password_check_bcrypt(text(out), TEXT("s3cret")), "%s", out);
    cr_assert_eq(run("mkpasswd -p -cost 4", "s3cret\ns3cret\n"), 0);
    cr_expect_eq(strncmp(out, "Enter Password: \nReenter Password: \nbcrypt hash: $2a$04$", 55), 0, "%s",
                 out);
    cr_expect_null(strstr(out, "s3cret"));
    cr_expect_eq(run("mkpasswd -p", "s3cret\nother\n"), 1);
    cr_expect_str_eq(err, "Error, passwords do not match\n");
}

Test(tools, mkpasswd_refuses_what_makes_no_sense)
{
    static const char *const lines[] = {"mkpasswd -c 3", "mkpasswd -c 32",  "mkpasswd -c x",
                                        "mkpasswd -c",   "mkpasswd secret", "mkpasswd -p --password-stdin",
                                        "mkpasswd -c="};
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        cr_expect_eq(run(lines[i], "x\n"), 1, "%s", lines[i]);
        cr_expect_eq(out[0], 0, "%s", lines[i]);
        cr_expect_neq(err[0], 0, "%s", lines[i]);
    }
    cr_expect_eq(run("mkpasswd --password-stdin", ""), 1);
    cr_expect_eq(run("mkpasswd --password-stdin",
                     "0123456789012345678901234567890123456789012345678901234567890123456789012\n"),
                 1, "73 bytes, of which bcrypt would look at 72");
    cr_expect_eq(run("mkpasswd --help", ""), 0);
    cr_expect_eq(strncmp(out, "Usage: myelin mkpasswd", 22), 0);
}

Test(tools, nk_makes_keys_of_every_type)
{
    static const struct {
        const char *line, *seed_start;
        char public_start;
    } rows[] = {{"nk -gen user -pubout", "SU", 'U'},    {"nk --gen=account -pubout", "SA", 'A'},
                {"nk -pubout -gen Server", "SN", 'N'},  {"nk -gen operator -pubout", "SO", 'O'},
                {"nk -gen cluster -pubout", "SC", 'C'}, {"nk -gen curve -pubout", "SX", 'X'},
                {"nk -gen x25519 -pubout", "SX", 'X'}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint8_t seed[NKEY_RAW_BYTES], raw[NKEY_RAW_BYTES], raw_read[NKEY_RAW_BYTES];
        enum nkey_type type, public_type;
        cr_assert_eq(run(rows[i].line, ""), 0, "%s", err);
        char *public = strchr(out, '\n');
        cr_assert_not_null(public);
        *public ++ = 0;
        public[strcspn(public, "\n")] = 0;
        cr_expect(strncmp(out, rows[i].seed_start, 2) == 0 && public[0] == rows[i].public_start, "%s", out);
        cr_assert_eq(nkey_seed_decode(text(out), &type, seed), ERR_OK);
        cr_assert_eq(nkey_decode(text(public), &public_type, raw_read), ERR_OK);
        cr_assert_eq(nkey_seed_public(type, seed, raw), ERR_OK);
        cr_expect(type == public_type && memcmp(raw, raw_read, sizeof raw) == 0, "%s", rows[i].line);
    }
    cr_assert_eq(run("nk -gen user", ""), 0);
    cr_expect_eq(strlen(out), 59, "the seed alone");
}

Test(tools, nk_signs_and_verifies, .init = make_folder, .fini = drop_folder)
{
    write_file("seed", "# a key\n" SEED "\n");
    write_file("public", PUBLIC "\n");
    write_file("curve", CURVE_SEED "\n");
    write_file("content", NONCE);
    write_file("signature", SIGNATURE "\n");
    write_file("other", "Zm9vYmFyYmF6cXU");
    static const struct {
        const char *line;
        int exit_code;
        const char *out, *err;
    } rows[] = {
        {"nk -inkey seed -pubout", 0, PUBLIC "\n", ""},
        {"nk -sign content -inkey seed", 0, SIGNATURE "\n", ""},
        {"nk -verify content -sigfile signature -inkey seed", 0, "Verified OK\n", ""},
        {"nk -verify content -sigfile signature -pubin public", 0, "Verified OK\n", ""},
        {"nk -verify other -sigfile signature -pubin public", 1, "", "Signature not verified\n"},
        {"nk -verify content -sigfile content -pubin public", 1, "", "content: Not a signature\n"},
        {"nk -verify content -pubin public", 1, "", "Verify requires a signature via -sigfile\n"},
        {"nk -verify content", 1, "", "Verify requires a seed via -inkey or a public key via -pubin\n"},
        {"nk -sign content", 1, "", "Sign requires a seed via -inkey <file>\n"},
        {"nk -sign content -inkey curve", 1, "", "This kind of key does not sign\n"},
        {"nk -sign content -inkey public", 1, "", "public: Could not find a valid key\n"},
        {"nk -sign none -inkey seed", 1, "", "none: no such file or directory\n"},
        {"nk -gen usr", 1, "", "Usage: myelin nk -gen [user|account|server|cluster|operator|curve|x25519]\n"},
        {"nk -gen user -e content", 1, "", "content: it cannot be read, or is too short\n"},
        {"nk -e content -pubout", 1, "", "Entropy file only used when creating keys with -gen\n"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        cr_expect_eq(run(rows[i].line, ""), rows[i].exit_code, "%s", rows[i].line);
        cr_expect_str_eq(out, rows[i].out, "%s", rows[i].line);
        cr_expect_str_eq(err, rows[i].err, "%s", rows[i].line);
    }
    write_file("entropy", "0123456789abcdef0123456789abcdef and more");
    cr_assert_eq(run("nk -gen user -e entropy", ""), 0);
    char first[OUT_BYTES];
    memcpy(first, out, sizeof first);
    cr_assert_eq(run("nk -gen user -e entropy", ""), 0);
    cr_expect_str_eq(first, out, "the same randomness, the same key");
}

Test(tools, nk_without_work_says_how)
{
    static const char *const lines[] = {"nk",      "nk -pubout",   "nk --wrong",
                                        "nk -gen", "nk -pubout=1", "nk user"};
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        cr_expect_eq(run(lines[i], ""), 1, "%s", lines[i]);
        cr_expect_eq(strncmp(err, "Usage: myelin nk", 16), 0, "%s", lines[i]);
    }
    cr_expect_eq(run("nk --help", ""), 0);
    cr_expect_eq(strncmp(out, "Usage: myelin nk", 16), 0);
}
