/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The private parts of a link, shared by link.c and link_*.c only.
 *
 *   link.c             what other threads may call: publish, settle, pause, stop, watch
 *   link_loop.c        the thread: connect, serve, back off, over and over
 *   link_address.c     the brokers that are configured
 *   link_connect.c     TCP, TLS, login, channel
 *   link_heartbeat.c   signs of life, ours and the broker's
 *   link_frames.c      frames to deliveries, returns, confirms and ends
 *   link_publish.c     outgoing messages and the window of those not yet confirmed
 *   link_properties.c  what such a message carries besides its body
 *   link_suspects.c    messages for one of which the broker has closed the channel
 *   link_settle.c      acknowledgements, many in one frame where that is safe
 *   link_declare.c     queues, exchanges, bindings, consumers
 *
 * Other threads leave what they want in the inbox and wake the thread; all of AMQP is done by the thread alone. */

#ifndef VIRTJOB_LINK_INTERNAL_H
#define VIRTJOB_LINK_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

/* The library's own headers do not stand -Wstrict-prototypes and the like in every version. */
#include <amqp.h>
#include <amqp_framing.h>

#include "error.h"
#include "link.h"
#include "message.h"

#define LINK_CHANNEL 1

/* Unconfirmed messages at a time. */
#define LINK_WINDOW 4096

/* The largest frame that we offer to take; a broker's own limit is 128 KiB by default. The header of one message is one
 * frame, and the library decodes it by recursion: an array within an array is 5 bytes in the frame and about 100 of
 * stack, so a stranger's message takes twenty times the size of its header. There is room for five times that, for
 * other compilers and for us. It is address space only: what is never touched is never resident. */
#define LINK_FRAME_MAX  (256 * 1024)
#define LINK_STACK_SIZE ((size_t)LINK_FRAME_MAX * 100)

/* What is read or written in one turn of the loop before the other has its turn. */
#define LINK_TURN_FRAMES   1024
#define LINK_TURN_MESSAGES 256
#define LINK_TURN_BYTES    (128 * 1024)

enum link_state {
    LINK_DOWN, /* connecting, or waiting for that */
    LINK_UP,
    LINK_ENDED, /* the thread takes nothing any more: stopped, or `once` and failed */
};

/* What another thread wants settled. */
struct link_command {
    struct delivery_tag tag;
    enum link_settle how;
};

struct message_list {
    struct message *first, *last;
};

/* A published message that is not confirmed yet. `message` is NULL in a free slot. */
struct link_slot {
    struct message *message;
    bool returned; /* basic.return has come, its confirm has not */
};

/* A delivery that is not settled yet: `mark` is what is to be told to the broker at the next flush. */
enum link_mark { MARK_OPEN, MARK_ACK, MARK_REQUEUE, MARK_REJECT, MARK_GONE };
struct link_delivery {
    uint64_t tag;
    enum link_mark mark;
};

/* A method whose content (header and body) is still coming in. A return is a delivery that goes to nobody. */
enum link_content_kind { CONTENT_NONE, CONTENT_DELIVERY, CONTENT_RETURN };
struct link_content {
    enum link_content_kind kind;
    struct delivery *delivery;
    bool has_header;
    uint64_t left; /* bytes of body to come */
    size_t filled; /* of delivery->body */
};

/* A broker, and as whom to log in there; strings lie in `text`. */
struct link_address {
    char *text;
    struct amqp_connection_info info;
    char shown[512]; /* "amqps://host:5671/vhost", without user and password */
    int64_t reported_ms;
    char reported[sizeof(
        ((struct error *)NULL)->message)]; /* why it could not be reached, as was logged last */
};

struct link {
    struct link_settings settings;
    struct link_events events;
    void *opaque;
    char *name;
    struct link_address *addresses; /* of the brokers of one cluster, taken in turns */
    size_t address_count;
    int wake_fd; /* eventfd */
    bool started;
    pthread_t thread;

    /* Guards what follows, up to the next paragraph. May be taken while no other lock is held. */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* room has come, or another state */
    struct message_list inbox;
    struct link_command *commands;
    size_t command_count, command_capacity;
    size_t pending;       /* messages taken whose fate is open, wherever they are */
    bool woken;           /* wake_fd has been written since the inbox was last emptied */
    bool takes_droppable; /* up and not blocked */
    bool pause_wanted;
    bool stop_wanted;
    int64_t stop_by_ms;
    enum link_state state;
    size_t address_now;   /* changed by the thread alone */
    struct error failure; /* of the last attempt to connect; ERROR_NONE while up */

    /* Guards watch_fd, the same as `socket`, for the watchdog. */
    pthread_mutex_t socket_lock;
    int watch_fd;

    /* Written by the thread, read by others. */
    atomic_int_fast64_t busy_since_ms;  /* 0 while in poll() */
    atomic_uint_fast64_t epoch;         /* of the connection that is open; 0 while there is none */
    atomic_int_fast64_t fresh_until_ms; /* unless something is heard until then; 0 while down */

    /* Of the thread alone. */
    struct link_command *spare; /* changes places with `commands` when the inbox is emptied */
    size_t spare_capacity;
    amqp_connection_state_t amqp;
    uint64_t last_epoch;
    int socket; /* our own duplicate of the library's */
    bool tls;
    bool was_up; /* this connection got through `open` */
    bool lost;   /* the last one had */
    bool ever_up;
    bool stalled; /* the socket takes no more just now: wait for POLLOUT */
    bool paused;
    int consumers; /* of this connection; their tags are c0, c1, … */
    int tick_ms;   /* a quarter of the heartbeat interval: how often one is sent */
    int64_t next_tick_ms;
    int64_t answered_ms; /* when the broker had agreed to all that makes a connection */
    int64_t next_hear_ms;
    int64_t arrived;    /* bytes that the kernel had received when it was last asked, … */
    int64_t arrived_ms; /* … and when it got the last of them */
    struct link_content content;

    struct message_list waiting; /* in the order of publishing */
    struct message_list refused; /* nacked; published again at `refused_until_ms` */
    int64_t refused_until_ms;
    struct link_slot *window; /* of LINK_WINDOW, by publish tag modulo that */
    uint64_t window_first;    /* the lowest publish tag whose slot may be taken */
    uint64_t window_next;     /* the next publish tag; window_first == window_next: empty */
    uint64_t
        return_next; /* where the search for a returned message starts: returns keep the order of publishing */
    uint64_t *suspects;    /* link_suspects.c; NULL while there are none */
    int64_t forgive_at_ms; /* when they are forgotten */
    bool alone;            /* one of them is in the window, and nothing else may be */
    bool blocked;
    int64_t blocked_since_ms;
    char blocked_reason[128];

    struct link_delivery *deliveries; /* by tag, ascending */
    size_t delivery_first, delivery_end, delivery_capacity;
    size_t marked; /* of them, neither open nor gone */

    size_t settled_now, confirmed_now; /* in this turn, not yet told to `pending` and the metrics */
    const char *kind_now;
    size_t kind_count;

    size_t attempts; /* failed, in a row */
    int64_t up_since_ms;
};

static inline int64_t link_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static inline amqp_bytes_t link_bytes(const char *text)
{
    return text ? amqp_cstring_bytes(text) : amqp_empty_bytes;
}

/* Tells the watchdog that the thread has got on. */
static inline void link_touch(struct link *link)
{
    atomic_store_explicit(&link->busy_since_ms, link_now_ms(), memory_order_relaxed);
}

/* link.c */
void link_wake(struct link *link);
void message_list_append(struct message_list *list, struct message *message);
void message_list_prepend(struct message_list *list, struct message *message);
struct message *message_list_pop(struct message_list *list);

/* link_loop.c: the body of the thread. */
void *link_run(void *opaque);

/* Takes out what other threads have left. -1: the connection broke over it. */
int link_empty_inbox(struct link *link, struct error *err);

/* link_address.c. At least one; freed with link_addresses_free. */
int link_addresses_parse(const struct config_broker *broker, struct link_address **ret_addresses,
                         size_t *ret_count, struct error *err);
void link_addresses_free(struct link_address *addresses, size_t count);

/* The one that is connected to, or tried. */
static inline struct link_address *link_address(const struct link *link)
{
    return &link->addresses[link->address_now];
}

/* link_connect.c: leaves an open channel with confirms on, or nothing. */
int link_connect(struct link *link, struct error *err);
void link_disconnect(struct link *link, bool politely);

/* What the broker or the library said to a synchronous method: 0, or -1 with `what` and the words. */
int link_check_reply(amqp_rpc_reply_t reply, struct error *err, const char *what, ...)
    __attribute__((format(printf, 3, 4)));

/* A negative status of the library. */
int link_check_status(int status, struct error *err, const char *what);

/* link_heartbeat.c. A tick is a quarter of the heartbeat interval. */
#define LINK_TICKS_FRESH 6
void link_hear_first(struct link *link, int64_t at_ms); /* the broker had answered everything at that time */
void link_hear(struct link *link);                      /* after reading */
int link_beat(struct link *link, struct error *err);    /* sends one */

/* link_frames.c: reads and handles what there is without waiting, heartbeats included. -1: the connection is over. */
int link_read(struct link *link, struct error *err);
bool link_has_buffered(const struct link *link);
void link_frames_reset(struct link *link);

/* link_publish.c */
bool link_is_stray(const struct link *link, const struct message *message); /* its connection has ended */
void link_take(struct link *link, struct message *message);                 /* from the inbox */
bool link_can_publish(const struct link *link);
int link_publish_some(struct link *link, struct error *err);
int64_t link_publish_timer(const struct link *link); /* when to come back at the latest, ms; INT64_MAX */
void link_confirm(struct link *link, uint64_t tag, bool multiple, bool accepted);
void link_returned(struct link *link, const struct delivery *content);
void link_block(struct link *link, amqp_bytes_t reason);
void link_unblock(struct link *link);
int link_publish_check(struct link *link, struct error *err); /* what time brings; -1: blocked for too long */
bool link_has_unconfirmed(const struct link *link);
void link_publish_reset(struct link *link);    /* the connection is gone: what may go over another waits */
void link_publish_refused(struct link *link);  /* the channel was closed for something that was published */
void link_publish_drop_all(struct link *link); /* the link ends */
void link_publish_account(struct link *link);  /* at the end of a turn: `pending` and the metrics */

/* link_properties.c. One that does not fit would make the library fail in the middle of a publish, on every connection.
 * `properties` begin empty, with room for LINK_HEADERS_MOST headers; they refer to the message. */
#define LINK_HEADERS_MOST 5
bool link_message_fits(const struct message *message);
void link_message_properties(const struct message *message, amqp_basic_properties_t *properties);

/* link_suspects.c */
void link_suspect(struct link *link, const struct message *message);
bool link_is_suspect(const struct link *link, const struct message *message);
void link_acquit(struct link *link, const struct message *message);
void link_forgive(struct link *link); /* when the time has come */

/* link_settle.c */
int link_outstanding_add(struct link *link, uint64_t tag, struct error *err);
void link_outstanding_mark(struct link *link, const struct link_command *command);
int link_settle_flush(struct link *link, struct error *err);
void link_outstanding_reset(struct link *link);

/* link_declare.c: basic.cancel of every consumer; the second one waits, so that what was acknowledged is settled even if
 * the connection ends then. -1: it broke. */
int link_cancel_consumers(struct link *link, struct error *err);
int link_settle_for_good(struct link *link);

#endif
