/* core/base/list.h - intrusive doubly linked lists. The link lies in the element; being linked is the
 * membership flag. Head and link are two types, so neither can be taken for the other. One thread's. */
#ifndef CORE_BASE_LIST_H
#define CORE_BASE_LIST_H

#include "core/base/check.h"
#include "core/base/language.h"

#include <stdbool.h>
#include <stddef.h>

struct list_link {
    struct list_link *next; /* NULL when in no list */
    struct list_link *previous;
};

struct list {
    struct list_link ends; /* next is the first, previous the last; both itself when empty */
};

static inline void list_init(struct list *list)
{
    list->ends.next = &list->ends;
    list->ends.previous = &list->ends;
}

static inline bool list_empty(const struct list *list)
{
    return list->ends.next == &list->ends;
}

static inline bool list_linked(const struct list_link *link)
{
    return link->next != NULL;
}

static inline void list_push_last(struct list *list, struct list_link *link)
{
    ASSERT(!list_linked(link));
    link->next = &list->ends;
    link->previous = list->ends.previous;
    list->ends.previous->next = link;
    list->ends.previous = link;
}

static inline void list_push_first(struct list *list, struct list_link *link)
{
    ASSERT(!list_linked(link));
    link->next = list->ends.next;
    link->previous = &list->ends;
    list->ends.next->previous = link;
    list->ends.next = link;
}

static inline void list_remove(struct list_link *link)
{
    ASSERT(list_linked(link));
    link->previous->next = link->next;
    link->next->previous = link->previous;
    link->next = NULL;
    link->previous = NULL;
}

/* The first link, or NULL when the list is empty. */
static inline struct list_link *list_first(const struct list *list)
{
    return list_empty(list) ? NULL : list->ends.next;
}

/* The link behind `link`, or NULL behind the last. */
static inline struct list_link *list_next(const struct list *list, const struct list_link *link)
{
    return link->next == &list->ends ? NULL : link->next;
}

#define LIST_ELEMENT(link, type, member) CONTAINER_OF(link, type, member)

#endif
