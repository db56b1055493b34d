/* A fast SMTP server for measurements: accepts everything, keeps nothing, counts arrivals by their X-Bench-Id.
 *
 * One thread, epoll, PIPELINING. Behaviour follows the recipient, so that a scenario is written in its addresses:
 *   close…@   the connection is closed at DATA, before the message
 *   lost…@    the message is taken, then the connection is closed instead of the reply
 *   refuse…@  550 at RCPT          busy…@  451 at RCPT
 * Control on the same port: XBENCH RESET <delay ms> | STAT | IDS | WAIT <accepted>.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_ID = 4 << 20, MAX_EVENTS = 64, READ_SIZE = 64 << 10 };
enum quirk { NONE, CLOSE_AT_DATA, LOSE_REPLY };

struct buffer { char *bytes; size_t length, capacity; };
struct connection {
    int fd, in_data, recipients, delayed, closing;
    enum quirk quirk;
    size_t scanned;              /* of `in`, already searched for the end of the message */
    double due;                  /* when the delayed reply goes out */
    struct buffer in, out;
    struct connection *next;     /* in the queue of delayed replies */
};

static uint16_t counts[MAX_ID];
static double arrivals[MAX_ID];
static long accepted, unique, connections, highest_id = -1;
static double first_at, last_at, delay, cpu_at_reset;
static struct connection *delayed_head, *delayed_tail, *waiter;
static long waiter_target;
static int poll_fd;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static double cpu_seconds(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void append(struct buffer *b, const char *bytes, size_t length) {
    if (b->length + length > b->capacity) {
        b->capacity = (b->length + length) * 2;
        b->bytes = realloc(b->bytes, b->capacity);
        if (!b->bytes) abort();
    }
    memcpy(b->bytes + b->length, bytes, length);
    b->length += length;
}

static void reply(struct connection *c, const char *text) { append(&c->out, text, strlen(text)); }

static void flush_out(struct connection *c) {
    size_t sent = 0;
    while (sent < c->out.length) {
        ssize_t n = send(c->fd, c->out.bytes + sent, c->out.length - sent, MSG_NOSIGNAL);
        if (n <= 0) { c->closing = 1; break; }      /* the socket blocks; replies are short, the peer reads them */
        sent += n;
    }
    c->out.length = 0;
}

static void drop(struct connection *c) {
    if (c->fd >= 0) { close(c->fd); c->fd = -1; }
    if (c == waiter) waiter = NULL;
    if (c->delayed) return;                          /* freed when its delayed reply comes up */
    free(c->in.bytes); free(c->out.bytes); free(c);
}

static void count_message(const char *message, size_t length) {
    const char *header = memmem(message, length < 4096 ? length : 4096, "X-Bench-Id: ", 12);
    double at = now();
    long id = header ? strtol(header + 12, NULL, 10) : -1;
    if (id >= 0 && id < MAX_ID) {
        if (!counts[id]++) { unique++; arrivals[id] = at; }
        if (id > highest_id) highest_id = id;
    }
    if (!accepted++) first_at = at;
    last_at = at;
    if (waiter && accepted >= waiter_target) {
        struct connection *w = waiter;
        waiter = NULL;
        reply(w, "250 reached\r\n");
        flush_out(w);
    }
}

static void end_of_message(struct connection *c, size_t length) {
    count_message(c->in.bytes, length);
    c->in_data = c->recipients = 0;
    if (c->quirk == LOSE_REPLY) { c->closing = 1; return; }
    if (delay <= 0) { reply(c, "250 2.0.0 queued\r\n"); return; }
    c->delayed = 1;
    c->due = now() + delay;
    c->next = NULL;
    if (delayed_tail) delayed_tail->next = c; else delayed_head = c;
    delayed_tail = c;
}

static void control(struct connection *c, const char *verb) {
    char line[160];
    if (!strncasecmp(verb, "RESET", 5)) {
        memset(counts, 0, sizeof counts[0] * (highest_id + 1));
        accepted = unique = connections = 0;
        highest_id = -1;
        first_at = last_at = 0;
        delay = atof(verb + 5) / 1000;
        cpu_at_reset = cpu_seconds();
        reply(c, "250 reset\r\n");
    } else if (!strncasecmp(verb, "STAT", 4)) {
        snprintf(line, sizeof line, "250 %ld %ld %ld %.6f %.6f %.6f\r\n", accepted, unique, connections, first_at,
                 last_at, cpu_seconds() - cpu_at_reset);
        reply(c, line);
    } else if (!strncasecmp(verb, "IDS", 3)) {
        for (long id = 0; id <= highest_id; id++)
            if (counts[id]) {
                snprintf(line, sizeof line, "250-%ld %d %.6f\r\n", id, counts[id], arrivals[id]);
                reply(c, line);
            }
        reply(c, "250 end\r\n");
    } else if (!strncasecmp(verb, "WAIT", 4)) {
        waiter_target = atol(verb + 4);
        if (accepted >= waiter_target) reply(c, "250 reached\r\n"); else waiter = c;
    } else reply(c, "500 what?\r\n");
}

static void recipient(struct connection *c, const char *line) {
    const char *address = strchr(line, '<');
    address = address ? address + 1 : line + 8;
    if (!strncasecmp(address, "refuse", 6)) { reply(c, "550 5.1.1 no such user\r\n"); return; }
    if (!strncasecmp(address, "busy", 4)) { reply(c, "451 4.3.0 try again later\r\n"); return; }
    if (!strncasecmp(address, "close", 5)) c->quirk = CLOSE_AT_DATA;
    if (!strncasecmp(address, "lost", 4)) c->quirk = LOSE_REPLY;
    c->recipients++;
    reply(c, "250 2.1.5 ok\r\n");
}

static void command(struct connection *c, const char *line) {
    if (!strncasecmp(line, "MAIL", 4)) { c->recipients = 0; c->quirk = NONE; reply(c, "250 2.1.0 ok\r\n"); }
    else if (!strncasecmp(line, "RCPT", 4)) recipient(c, line);
    else if (!strncasecmp(line, "DATA", 4)) {
        if (c->quirk == CLOSE_AT_DATA) c->closing = 1;
        else if (!c->recipients) reply(c, "554 5.5.1 no valid recipients\r\n");
        else { c->in_data = 1; c->scanned = 0; reply(c, "354 go on\r\n"); }
    }
    else if (!strncasecmp(line, "EHLO", 4)) {
        connections++;                               /* here, so that control connections do not count */
        reply(c, "250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 SIZE 52428800\r\n");
    }
    else if (!strncasecmp(line, "HELO", 4) || !strncasecmp(line, "RSET", 4) || !strncasecmp(line, "NOOP", 4)) reply(c, "250 2.0.0 ok\r\n");
    else if (!strncasecmp(line, "QUIT", 4)) { reply(c, "221 2.0.0 bye\r\n"); flush_out(c); c->closing = 1; }
    else if (!strncasecmp(line, "XBENCH ", 7)) control(c, line + 7);
    else reply(c, "500 5.5.2 what?\r\n");
}

static void consume(struct connection *c, size_t length) {
    memmove(c->in.bytes, c->in.bytes + length, c->in.length - length);
    c->in.length -= length;
}

/* Whatever is complete in the input: command lines, and messages up to their dot. */
static void process(struct connection *c) {
    while (!c->closing && !c->delayed && c->in.length) {
        char *end;
        if (c->in_data) {
            int empty = c->in.length >= 3 && !memcmp(c->in.bytes, ".\r\n", 3);
            size_t from = c->scanned > 4 ? c->scanned - 4 : 0;
            end = empty ? c->in.bytes - 2 : memmem(c->in.bytes + from, c->in.length - from, "\r\n.\r\n", 5);
            if (!end) { c->scanned = c->in.length; break; }
            size_t length = end + 5 - c->in.bytes;
            end_of_message(c, length);
            consume(c, length);
        } else {
            end = memchr(c->in.bytes, '\n', c->in.length);
            if (!end) break;
            *end = 0;
            size_t length = end + 1 - c->in.bytes;
            command(c, c->in.bytes);
            consume(c, length);
        }
    }
    if (!c->closing && c->out.length) flush_out(c);
    if (c->closing) drop(c);
}

static void readable(struct connection *c) {
    static char chunk[READ_SIZE];
    ssize_t n = recv(c->fd, chunk, sizeof chunk, 0);
    if (n <= 0) { drop(c); return; }
    append(&c->in, chunk, n);
    process(c);
}

static void send_delayed(void) {
    double at = now();
    while (delayed_head && delayed_head->due <= at) {
        struct connection *c = delayed_head;
        delayed_head = c->next;
        if (!delayed_head) delayed_tail = NULL;
        c->delayed = 0;
        if (c->fd < 0) { drop(c); continue; }
        reply(c, "250 2.0.0 queued\r\n");
        flush_out(c);
        process(c);
    }
}

static void welcome(int listener) {
    int one = 1, fd = accept(listener, NULL, NULL);
    if (fd < 0) return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct connection *c = calloc(1, sizeof *c);
    if (!c) abort();
    c->fd = fd;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event);
    reply(c, "220 sink ESMTP\r\n");
    flush_out(c);
}

int main(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (void *)&address, size) || listen(listener, 512)) { perror("sink"); return 1; }
    getsockname(listener, (void *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    poll_fd = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[MAX_EVENTS];
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int wait_ms = -1;
        if (delayed_head) {
            double left = delayed_head->due - now();
            wait_ms = left <= 0 ? 0 : (int)(left * 1000) + 1;
        }
        int n = epoll_wait(poll_fd, events, MAX_EVENTS, wait_ms);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr) readable(events[i].data.ptr); else welcome(listener);
        }
        send_delayed();
    }
}
