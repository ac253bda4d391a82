/* tests/micro/index_bench.c - what the interest index costs alone: memory per subscription, time per match,
 * and the longest single insert. A program of its own, no part of myelin-bench:
 *
 *     make micro && build/micro/index_bench [subscriptions]
 *
 * Instructions per match: valgrind --tool=callgrind --toggle-collect=match_cache_find build/micro/index_bench
 * 100000 */
#include "core/base/clock.h"
#include "core/base/language.h"
#include "core/base/random.h"
#include "core/subject/index.h"
#include "core/subject/subject_set.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WILDCARDS = 1000, BATCHES = 100, PER_BATCH = 10000, MATCHES = BATCHES * PER_BATCH };
enum { SILENT = 65536 /* GATEWAY_SILENT_MAX */, LEAVING_LOOKS = 1000 /* LEAVING_LOOKS_MAX */ };
enum {
    SUBJECT_BYTES = 32,
    SILENT_BYTES = 256,
    CACHE_ENTRIES = 8192,
    HOT_SUBJECTS = 1000,
    SUBSCRIPTIONS_MAX = 100000000
};

static size_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long pages = 0;
    unsigned long resident = 0;
    if (file == NULL)
        return 0;
    if (fscanf(file, "%lu %lu", &pages, &resident) != 2)
        resident = 0;
    fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

/* 19 or 20 bytes: "device.0012345.temp1". */
static struct bytes subject_of(uint32_t number, char *into)
{
    int count = snprintf(into, SUBJECT_BYTES, "device.%07u.temp%u", number, number % 10);
    return bytes_of(into, (size_t)count);
}

static void die(const char *what)
{
    fprintf(stderr, "index_bench: %s\n", what);
    exit(1);
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* CPU time and not wall time, the median of a hundred batches: the machine may be busy with other things. */
static void report_matches(const char *name, struct match_cache *cache, struct index *index,
                           uint32_t subscriptions, uint32_t distinct, const char *format)
{
    struct random random;
    random_seed(&random, 5);
    char(*subjects)[SUBJECT_BYTES] = calloc(MATCHES, SUBJECT_BYTES);
    if (subjects == NULL)
        die("out of memory");
    for (uint32_t i = 0; i < MATCHES; i++) {
        if (format == NULL)
            subject_of(random_below(&random, distinct) * (subscriptions / distinct), subjects[i]);
        else
            snprintf(subjects[i], SUBJECT_BYTES, format, random_below(&random, distinct));
    }
    struct match_cache_figures before = match_cache_figures(cache);
    uint64_t interests = 0;
    static int64_t took_ns[BATCHES];
    for (uint32_t b = 0; b < BATCHES; b++) {
        int64_t start = clock_process_cpu_ns();
        for (uint32_t i = b * PER_BATCH; i < (b + 1) * PER_BATCH; i++) {
            const struct match *match = NULL;
            if (match_cache_find(cache, index, text(subjects[i]), &match) != ERR_OK)
                die("out of memory");
            interests += match->interest_count;
        }
        took_ns[b] = clock_process_cpu_ns() - start;
    }
    qsort(took_ns, BATCHES, sizeof(took_ns[0]), by_size);
    int64_t median_ns = took_ns[BATCHES / 2];
    struct match_cache_figures after = match_cache_figures(cache);
    printf("%-40s %6.1f ns (median; best %.1f), %5.1f %% cached, %.2f interests\n", name,
           (double)median_ns / PER_BATCH, (double)took_ns[0] / PER_BATCH,
           100.0 * (double)(after.hits - before.hits) / MATCHES, (double)interests / MATCHES);
    free(subjects);
}

static struct bytes silent_subject(char into[SILENT_BYTES], size_t subject_bytes, uint32_t number)
{
    memset(into, 'n', subject_bytes);
    for (size_t i = subject_bytes; number > 0 && i > 0; number /= 10)
        into[--i] = (char)('0' + number % 10);
    return bytes_of(into, subject_bytes);
}

/* Random ones of subjects that are all there, or none: the median of a hundred batches. */
static void report_silent_finds(const struct subject_set *set, size_t subject_bytes, uint32_t first)
{
    static int64_t took_ns[BATCHES];
    static char subjects[PER_BATCH][SILENT_BYTES];
    struct random random;
    uint64_t found = 0;
    random_seed(&random, 7);
    for (uint32_t b = 0; b < BATCHES; b++) {
        for (uint32_t i = 0; i < PER_BATCH; i++)
            silent_subject(subjects[i], subject_bytes, first + random_below(&random, SILENT));
        int64_t start_ns = clock_process_cpu_ns();
        for (uint32_t i = 0; i < PER_BATCH; i++)
            found += subject_set_find(set, bytes_of(subjects[i], subject_bytes)) != 0;
        took_ns[b] = clock_process_cpu_ns() - start_ns;
    }
    qsort(took_ns, BATCHES, sizeof(took_ns[0]), by_size);
    int64_t median_ns = took_ns[BATCHES / 2];
    printf("    a look-up: %.1f ns (median), %.0f %% found\n", (double)median_ns / PER_BATCH,
           100.0 * (double)found / MATCHES);
}

/* As a shard remembers what other clusters do not want. In a process of its own, because what others have
 * freed would be used again unseen. */
static void report_silent(size_t subject_bytes, unsigned clusters)
{
    char subject[SILENT_BYTES];
    bool added = false;
    fflush(stdout);
    pid_t child = fork();
    if (child > 0 && waitpid(child, NULL, 0) == child)
        return;
    struct subject_set *set = subject_set_new();
    if (child < 0 || set == NULL || subject_bytes >= sizeof subject)
        die("out of memory");
    size_t resident = resident_bytes();
    int64_t longest_ns = 0;
    for (uint32_t i = 0; i < SILENT; i++) {
        struct bytes one = silent_subject(subject, subject_bytes, i);
        for (unsigned cluster = 0; cluster < clusters; cluster++) {
            int64_t start_ns = clock_process_cpu_ns();
            if (subject_set_add(set, one, cluster, &added) != ERR_OK)
                die("out of memory");
            int64_t took_ns = clock_process_cpu_ns() - start_ns;
            longest_ns = took_ns > longest_ns ? took_ns : longest_ns;
        }
    }
    printf("%d subjects of %zu bytes that %u clusters do not want: %.1f bytes each beside the subject, "
           "resident; %.1f by subject_set_figures(); longest add %.0f us\n",
           SILENT, subject_bytes, clusters,
           (double)(resident_bytes() - resident) / SILENT - (double)subject_bytes,
           (double)subject_set_figures(set).bytes / SILENT - (double)subject_bytes,
           (double)longest_ns / 1000);
    report_silent_finds(set, subject_bytes, 0);
    report_silent_finds(set, subject_bytes, SILENT);
    exit(0);
}

/* What a lost server wanted is forgotten: all at once, or in steps as shards/leaving.h has them. CPU time. */
static void report_forgetting(uint32_t count, uint32_t most)
{
    char subject[SUBJECT_BYTES];
    struct index *index = index_new();
    uint32_t cursor = 0, steps = 0;
    int64_t all_ns = 0, longest_ns = 0;
    for (uint32_t i = 0; index != NULL && i < count; i++) {
        if (index_remote_set(index, subject_of(i, subject), TEXT(""), 3, 1) != ERR_OK)
            die("out of memory");
    }
    for (bool done = index == NULL; !done; steps++) {
        uint32_t looks = most;
        int64_t start_ns = clock_process_cpu_ns();
        done = index_remote_clear(index, 3, &looks, &cursor, NULL, NULL);
        int64_t took_ns = clock_process_cpu_ns() - start_ns;
        all_ns += took_ns;
        longest_ns = took_ns > longest_ns ? took_ns : longest_ns;
    }
    printf("%u patterns of a lost server forgotten in %u steps: %.1f ms, the longest step %.2f ms\n", count,
           steps, (double)all_ns / 1e6, (double)longest_ns / 1e6);
    index_free(index);
}

static uint32_t count_of(const char *argument)
{
    char *end;
    long count = strtol(argument, &end, 10);
    if (end == argument || *end != 0 || count < HOT_SUBJECTS || count > SUBSCRIPTIONS_MAX)
        die("from 1000 to 100000000 subscriptions");
    return (uint32_t)count;
}

int main(int argc, char **argv)
{
    uint32_t count = argc > 1 ? count_of(argv[1]) : 1000000;
    for (size_t subject_bytes = 16; subject_bytes <= 128; subject_bytes *= 2)
        report_silent(subject_bytes, 1);
    report_silent(16, 8);
    report_forgetting(count, UINT32_MAX);
    report_forgetting(count, LEAVING_LOOKS);
    struct index *index = index_new();
    struct match_cache *cache = match_cache_new(CACHE_ENTRIES);
    struct subscription *subscriptions = calloc(count + WILDCARDS, sizeof(*subscriptions));
    if (index == NULL || cache == NULL || subscriptions == NULL)
        die("out of memory");
    memset(subscriptions, 1, (count + WILDCARDS) * sizeof(*subscriptions)); /* resident before we look */
    memset(subscriptions, 0, (count + WILDCARDS) * sizeof(*subscriptions));

    char subject[SUBJECT_BYTES];
    size_t resident = resident_bytes();
    int64_t longest = 0;
    int64_t start = clock_monotonic_ns();
    int64_t last = start;
    for (uint32_t i = 0; i < count; i++) {
        if (index_add(index, subject_of(i, subject), TEXT(""), &subscriptions[i]) != ERR_OK)
            die("out of memory");
        int64_t now = clock_monotonic_ns();
        longest = now - last > longest ? now - last : longest;
        last = now;
    }
    printf("%u literal subscriptions: %.1f bytes each resident, %.1f by index_figures(); add %.0f ns, "
           "longest %.0f us\n",
           count, (double)(resident_bytes() - resident) / count, (double)index_figures(index).bytes / count,
           (double)(last - start) / count, (double)longest / 1000);

    report_matches("literals only, uncached", cache, index, count, count, NULL);
    for (uint32_t i = 0; i < WILDCARDS; i++) {
        static const char *const formats[] = {"device.%07u.*", "device.*.humidity%u", "site.%u.>",
                                              "*.%07u.temp1"};
        snprintf(subject, sizeof(subject), formats[i % 4], i * (count / WILDCARDS));
        if (index_add(index, text(subject), TEXT(""), &subscriptions[count + i]) != ERR_OK)
            die("out of memory");
    }
    printf("and %d wildcard patterns\n", WILDCARDS);
    report_matches("all subjects, uncached", cache, index, count, count, NULL);
    report_matches("nobody listens, uncached", cache, index, count, 100000000, "nobody.%u.temp");
    report_matches("1000 hot subjects, cached", cache, index, count, HOT_SUBJECTS, NULL);
    report_matches("1 subject, cached", cache, index, count, 1, NULL);
    report_matches("1000 hot subjects with nobody, cached", cache, index, count, HOT_SUBJECTS,
                   "nobody.%u.temp");

    start = clock_monotonic_ns();
    for (uint32_t i = 0; i < count + WILDCARDS; i++)
        index_remove(index, &subscriptions[i]);
    printf("remove %.0f ns; left: %llu bytes\n", (double)(clock_monotonic_ns() - start) / (count + WILDCARDS),
           (unsigned long long)index_figures(index).bytes);
    free(subscriptions);
    index_free(index);
    match_cache_free(cache);
    return 0;
}
