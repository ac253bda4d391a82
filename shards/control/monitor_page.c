/* shards/control/monitor_page.c - what a browser is shown: the live page at the port's root, its files, and
 * the plain list of links (spec/monitoring.md 1.7; docs/monitoring.md 5). The files stand in
 * shards/control/page/ and are part of the program: the assembler takes them in, the Makefile knows that they
 * are needed. Addresses on the pages are relative to the last part of the base path, under which the browser
 * knows the page: so they hold for every base path, and behind a proxy that puts the page elsewhere. */
#include "core/base/version.h"
#include "shards/control/control.h"
#include "shards/control/monitor_task.h"

#include <string.h>

/* ---- the files ---- */

/* clang-format off */
#define PAGE_FILE(symbol, path)                                                                              \
    __asm__(".section .rodata\n"                                                                             \
            ".global page_" symbol "\npage_" symbol ":\n.incbin \"shards/control/page/" path "\"\n"          \
            "page_" symbol "_end:\n.balign 8\n"                                                              \
            ".global page_" symbol "_bytes\npage_" symbol "_bytes:\n"                                        \
            ".quad page_" symbol "_end - page_" symbol "\n.previous\n");
/* clang-format on */

PAGE_FILE("html", "page.html")
PAGE_FILE("css", "page.css")
PAGE_FILE("icon", "icon.svg")
PAGE_FILE("main", "page.js")
PAGE_FILE("charts", "charts.js")
PAGE_FILE("format", "format.js")

extern const uint8_t page_html[], page_css[], page_icon[], page_main[], page_charts[], page_format[];
extern const uint64_t page_html_bytes, page_css_bytes, page_icon_bytes, page_main_bytes, page_charts_bytes,
    page_format_bytes;

static const char script_type[] = "text/javascript; charset=utf-8";

static const struct {
    const char *path;
    const uint8_t *data;
    const uint64_t *bytes;
    const char *content_type;
} files[] = {
    {"page.css", page_css, &page_css_bytes, "text/css; charset=utf-8"},
    {"icon.svg", page_icon, &page_icon_bytes, "image/svg+xml"},
    {"page.js", page_main, &page_main_bytes, script_type},
    {"charts.js", page_charts, &page_charts_bytes, script_type},
    {"format.js", page_format, &page_format_bytes, script_type},
};

static void shown(struct monitor_task *task, const char *content_type)
{
    task->content_type = content_type;
    task->plain = task->browsed = task->done = true;
}

void page_file_begin(struct control *control, struct monitor_task *task)
{
    (void)control;
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        if (strcmp(files[i].path, task->endpoint->path) != 0)
            continue;
        json_output_add(&task->document, bytes_of(files[i].data, *files[i].bytes));
        shown(task, files[i].content_type);
    }
}

/* ---- links ---- */

static const struct {
    const char *path;
    const char *words;
} links[] = {
    {"varz", "General"},      {"jsz", "JetStream"},          {"connz", "Connections"},
    {"accountz", "Accounts"}, {"accstatz", "Account Stats"}, {"subsz", "Subscriptions"},
    {"routez", "Routes"},     {"leafz", "LeafNodes"},        {"gatewayz", "Gateways"},
    {"raftz", "Raft Groups"}, {"healthz", "Health Probe"},   {"debug/vars", "Expvar"},
    {"shardz", "Shards"},     {"topz", "Top Subjects"},      {"metrics", "Metrics"},
};

/* A path of the configuration inside an attribute. */
static void add_attribute(struct json_output *document, struct bytes words)
{
    for (size_t i = 0; i < words.count; i++) {
        char byte = (char)words.data[i];
        if (byte == 0 || strchr("<>&\"'", byte) == NULL) {
            json_output_add(document, bytes_of(words.data + i, 1));
            continue;
        }
        json_output_add(document, byte == '<'   ? TEXT("&lt;")
                                  : byte == '>' ? TEXT("&gt;")
                                  : byte == '&' ? TEXT("&amp;")
                                  : byte == '"' ? TEXT("&quot;")
                                                : TEXT("&#39;"));
    }
}

/* From the page's own address to where its endpoints are: "./", or "./last/" of a base path that ends so. */
static void add_prefix(const struct control *control, struct monitor_task *task)
{
    const char *last = strrchr(control->monitor.base_path, '/');
    json_output_add(&task->document, TEXT("./"));
    /* The list of links stands where the endpoints are. */
    if (last == NULL || task->endpoint->path[0] != 0)
        return;
    add_attribute(&task->document, text(last + 1));
    json_output_add(&task->document, TEXT("/"));
}

static void add_links(const struct control *control, struct monitor_task *task)
{
    for (size_t i = 0; i < COUNT_OF(links); i++) {
        json_output_add(&task->document, TEXT("<a href=\""));
        add_prefix(control, task);
        json_output_add(&task->document, text(links[i].path));
        json_output_add(&task->document, TEXT("\">"));
        json_output_add(&task->document, text(links[i].words));
        json_output_add(&task->document, TEXT("</a>\n"));
    }
}

void links_begin(struct control *control, struct monitor_task *task)
{
    json_output_add(&task->document,
                    TEXT("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                         "<title>Myelin</title>\n"
                         "<link rel=\"icon\" type=\"image/svg+xml\" "
                         "href=\"./icon.svg\">\n</head>\n<body>\n<h1>Myelin</h1>\n"
                         "<p>v" MYELIN_NATS_VERSION " (Myelin " MYELIN_VERSION ")</p>\n<pre>\n"));
    add_links(control, task);
    json_output_add(&task->document, TEXT("</pre>\n</body>\n</html>\n"));
    shown(task, "text/html; charset=utf-8");
}

/* ---- the page ---- */

/* What the page's file has in braces. */
static void add_placeholder(const struct control *control, struct monitor_task *task, struct bytes name)
{
    if (bytes_equal(name, TEXT("prefix")))
        add_prefix(control, task);
    else if (bytes_equal(name, TEXT("links")))
        add_links(control, task);
    else if (bytes_equal(name, TEXT("version")))
        json_output_add(&task->document, TEXT("v" MYELIN_NATS_VERSION " (Myelin " MYELIN_VERSION ")"));
}

void index_begin(struct control *control, struct monitor_task *task)
{
    struct bytes left = bytes_of(page_html, page_html_bytes);
    for (;;) {
        const uint8_t *open = memmem(left.data, left.count, "{{", 2);
        size_t before = open == NULL ? left.count : (size_t)(open - left.data);
        const uint8_t *close = open == NULL ? NULL : memmem(open, left.count - before, "}}", 2);
        if (close == NULL)
            break;
        json_output_add(&task->document, bytes_of(left.data, before));
        add_placeholder(control, task, bytes_of(open + 2, (size_t)(close - open - 2)));
        size_t done = (size_t)(close + 2 - left.data);
        left = bytes_of(left.data + done, left.count - done);
    }
    json_output_add(&task->document, left);
    shown(task, "text/html; charset=utf-8");
}
