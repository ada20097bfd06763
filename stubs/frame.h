/*
 * frame.h - the frames that the application, its shadow and the tools exchange over AF_UNIX
 * sockets.
 *
 * The flow is: connect (SOCK_SEQPACKET: one message is one frame), send FRAME_HELLO, then requests;
 * each is answered by a frame of the same type with FRAME_REPLY set and the same sequence number. A
 * frame is a fixed header and a bounded payload, in the byte order of the machine (both ends are on
 * it; a relay translates).
 *
 * Invariants: the version is checked before anything else is believed; no length is used before it
 * was compared with what arrived and with what the type allows; sequence numbers rise by one along
 * a connection. A frame that breaks a rule is a named error (frame_error()) and costs the
 * connection, never the session.
 *
 * The functions are inline and need no libc: in-target code and hosted programs share them.
 */
#ifndef STUBS_FRAME_H
#define STUBS_FRAME_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_MAGIC       0x4b4a4948u /* "HIJK" */
#define FRAME_VERSION     4
#define FRAME_MAX_PAYLOAD 65536
#define FRAME_BATCH       253 /* SCM_MAX_FD: descriptors in one message */
#define FRAME_KEY         16
#define FRAME_PATH        4096
#define FRAME_IMAGES      8 /* the newest images a shadow remembers */
#define FRAME_REPLY       0x8000

enum frame_type {
    FRAME_START = 1, /* spawner -> shadow, over the inherited socket: who the application is */
    FRAME_HELLO,     /* anyone: role and, but for a tool, the key */
    FRAME_STATUS,    /* tool: struct frame_status and images */
    FRAME_REQUEST,   /* tool: take a checkpoint; FRAME_TAKEN and FRAME_REPORT follow unasked on this
                        connection */
    FRAME_TAKEN,     /* shadow -> tool: the application has begun */
    FRAME_TAKE,      /* application: the pending request, or an empty reply */
    FRAME_OFFER,     /* application: descriptors follow */
    FRAME_TABLE,     /* application: a piece of the descriptor table (stubs/fds.h) */
    FRAME_DESCRIPTORS, /* application: a batch with SCM_RIGHTS; starter: asks for a batch */
    FRAME_COMMIT,      /* application: the image is safe, keep what was offered */
    FRAME_REPORT,      /* application: how the checkpoint went; passed on to the tool */
    FRAME_FETCH,       /* starter: are the descriptors of this image here? */
    FRAME_UNLOCK,      /* starter: let go of the record locks, I take them now */
    FRAME_ADOPT,       /* starter: I am the application now */
    FRAME_DONE,        /* starter: the program runs next; drop what was held */
    FRAME_END,         /* tool or starter: end, dropping everything */
    /* remote calls (stubs/wire.h) */
    FRAME_REMOTE,  /* application: execute my calls from now on with the descriptors just offered;
                      starter: struct frame_remote, ... with those that are held */
    FRAME_CHANNEL, /* application: struct wire_channel and a stream socket for FRAME_CALL; without
                      one, the channel ends */
    FRAME_CANCEL,  /* application: struct wire_cancel; has no answer */
    FRAME_LIST,    /* application, in a checkpoint: make the table of my descriptors (uint64_t: the
                      image's name); answered with its size, uint32_t */
    FRAME_PIECE,   /* application: the table from byte uint32_t on */
    FRAME_RECALL,  /* application: I take the descriptors home; answered with struct frame_offer
                      (terminals are among them). FRAME_PIECE, FRAME_DESCRIPTORS, FRAME_UNLOCK and
                      FRAME_DONE follow as from a starter */
    FRAME_PLACE,   /* starter, after FRAME_REMOTE: struct frame_place and descriptors, which take
                      these numbers */
    FRAME_QUIT,    /* application: the program ends properly; answered when all is closed */
    FRAME_TRACE,   /* tool: tell me of each call from now on */
    FRAME_TRACED,  /* shadow -> tool, unasked: struct wire_traced */
    FRAME_RING,    /* application: a memory for writes that it does not wait for (stubs/ring.h):
                      its size, uint32_t, and a memfd */
    FRAME_LOOK,    /* starter: struct frame_look; answered with struct frame_looked */
    FRAME_CALL = 0x100, /* on a channel */
};

enum frame_role { FRAME_TOOL = 1, FRAME_APPLICATION, FRAME_STARTER };

struct frame_header {
    uint32_t magic;
    uint16_t version;
    uint16_t type;    /* enum frame_type, replies with FRAME_REPLY */
    uint32_t length;  /* of the payload */
    int32_t status;   /* of a reply: >= 0, or -errno */
    uint64_t session; /* frame_session(key); 0 from a tool, which does not know it */
    uint32_t epoch;   /* one line of execution: counts the restarts of the session; 0 from a tool */
    uint32_t channel; /* 0: control. One for each thread that makes remote calls */
    uint64_t sequence; /* from 1 on, along a connection */
};

struct frame_start {
    uint8_t key[FRAME_KEY];
    uint64_t start_time; /* of the application: control_start_time() */
    int32_t pid;         /* as it sees itself */
    int32_t signal;      /* takes a checkpoint */
    int32_t dumpable;    /* prctl(PR_GET_DUMPABLE) */
    uint32_t padding;
    char directory[FRAME_PATH]; /* where default images go */
};

struct frame_hello {
    uint32_t role;
    uint8_t key[FRAME_KEY];
};

#define FRAME_LEAVE        1u  /* end the program once the image is safe */
#define FRAME_PORTABLE     2u  /* the image needs no file of this host */
#define FRAME_REMOTE_BEGIN 16u /* no checkpoint: from now on the shadow does the program's I/O */
#define FRAME_REMOTE_END   32u /* no checkpoint: it does its I/O itself again */
struct frame_request {
    uint32_t flags;
    int32_t exit_status;   /* with FRAME_LEAVE */
    uint64_t blocked_ns;   /* for so long the application was blocked in its call; 0: not known */
    uint64_t switches;     /* its voluntary context switches then */
    char path[FRAME_PATH]; /* absolute; empty: the default name */
};

struct frame_report {
    int32_t error;         /* 0, or -errno */
    uint32_t left;         /* 1: the program ends now */
    uint64_t bytes;        /* of the image */
    uint64_t carried;      /* of them: pages of mapped files */
    uint64_t nanoseconds;  /* that the program stood still */
    char step[32];         /* in which it failed; before "write" nothing was touched */
    char text[1024];       /* what failed and why, for the user; or a warning */
    char path[FRAME_PATH]; /* of the image */
};

struct frame_offer {
    uint64_t image; /* fds_header.image: whose descriptors they are */
    uint32_t count;
    uint32_t table; /* bytes of the table that describes them */
    uint32_t kept;  /* 1: the program went on after the image; only its files are here, and where
                       they  are not the table that the shadow has (FRAME_PIECE) says FDS_GONE */
    uint32_t padding;
};

struct frame_batch {
    uint32_t first; /* index of the first descriptor, in the order of the table's travelling
                       descriptors */
    uint32_t count;
};

/* Of the program in its image. An executor that is there already knows it. */
struct frame_remote {
    int32_t known;  /* its pid as it knows itself */
    uint32_t umask; /* file creation mask */
    uint32_t away;  /* 1: it is REMOTE_AWAY (stubs/remote.h) */
    uint32_t padding;
    char directory[FRAME_PATH]; /* the working directory */
};

struct frame_place {
    uint32_t count;
    uint32_t padding;
    struct {
        int32_t number;
        uint32_t flags; /* O_CLOEXEC */
    } at[FRAME_BATCH];
};

/* A file at home, and what it is now (stat(2)). */
struct frame_look {
    char path[FRAME_PATH]; /* absolute */
};
struct frame_looked {
    uint64_t dev, inode, size; /* bytes */
    int64_t mtime, mtime_nsec;
    uint64_t file_system; /* statfs(2): f_type */
    uint32_t mode;
    uint32_t padding;
};

struct frame_status {
    uint64_t start_time;
    uint64_t held_image; /* 0: none held */
    int32_t pid;         /* the application, as it sees itself; 0: it has ended */
    int32_t signal;
    uint32_t held;       /* descriptors */
    uint32_t lost_locks; /* record locks that somebody else got */
    uint32_t epoch;
    uint32_t refused;   /* connections that broke a rule, or that were not let in */
    int32_t last_error; /* of them: -EACCES, or frame_error() */
    uint32_t remote;    /* 1: it makes the program's calls */
    uint32_t channels;  /* for that many of its threads */
    uint64_t calls;     /* so many until now */
    int32_t seen;       /* the application, as the shadow sees it */
    uint32_t away;      /* 1: in namespaces that are not the shadow's, or another user's */
    uint32_t busy;      /* 1: a request waits, or is being carried out */
    uint32_t images;    /* struct frame_image, that many, follow; oldest first */
    char name[16];
    char directory[FRAME_PATH];
};

struct frame_image {
    int64_t time; /* seconds since 1970 */
    uint64_t bytes;
    char path[FRAME_PATH];
};

/* The errors a frame can have; frame_check() returns their negatives. */
static inline const char *frame_error(int error)
{
    switch (error < 0 ? -error : error) {
    case EBADMSG:
        return "frame cut short or of a wrong length";
    case EPROTO:
        return "not a frame (magic)";
    case EPROTONOSUPPORT:
        return "frame of another version";
    case EMSGSIZE:
        return "frame too long";
    case ENOTSUP:
        return "frame of an unknown type";
    case EILSEQ:
        return "frame out of sequence";
    case ESTALE:
        return "frame of another session or epoch";
    case EBADF:
        return "descriptors that were not asked for";
    case EUSERS:
        return "too many connections at once";
    case EACCES:
        return "another user, without the key, or not this one's to ask";
    default:
        return "connection lost";
    }
}

/* Checks the header of a message of which `size` bytes arrived. 0, or the -errno of frame_error().
 */
static inline int frame_check(const struct frame_header *h, size_t size)
{
    if (size < sizeof *h)
        return -EBADMSG;
    if (h->magic != FRAME_MAGIC)
        return -EPROTO;
    if (h->version != FRAME_VERSION)
        return -EPROTONOSUPPORT;
    if (h->length > FRAME_MAX_PAYLOAD)
        return -EMSGSIZE;
    return size == sizeof *h + h->length ? 0 : -EBADMSG;
}

/* Checks that a frame continues its conversation: the session (0 where the sender need not know it)
 * and the number that must come next. */
static inline int frame_check_order(const struct frame_header *h, uint64_t session,
                                    uint64_t sequence)
{
    if (h->session && h->session != session)
        return -ESTALE;
    return h->sequence == sequence ? 0 : -EILSEQ;
}

/* 0 when a NUL ends the text within its field; everything that arrives as text is checked so before
 * use. */
static inline int frame_check_text(const char *text, size_t field)
{
    for (size_t i = 0; i < field; i++)
        if (!text[i])
            return 0;
    return -EBADMSG;
}

static inline void frame_header(struct frame_header *h, unsigned type, uint64_t session,
                                uint64_t sequence, size_t length)
{
    h->magic = FRAME_MAGIC;
    h->version = FRAME_VERSION;
    h->type = (uint16_t)type;
    h->length = (uint32_t)length;
    h->status = 0;
    h->session = session;
    h->epoch = 0;
    h->channel = 0;
    h->sequence = sequence;
}

static inline uint64_t frame_load64(const uint8_t *from)
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--)
        value = value << 8 | from[i];
    return value;
}

#define FRAME_ROTATE(x, bits) ((x) << (bits) | (x) >> (64 - (bits)))

static inline void frame_sip_round(uint64_t v[4])
{
    v[0] += v[1], v[1] = FRAME_ROTATE(v[1], 13) ^ v[0], v[0] = FRAME_ROTATE(v[0], 32);
    v[2] += v[3], v[3] = FRAME_ROTATE(v[3], 16) ^ v[2];
    v[0] += v[3], v[3] = FRAME_ROTATE(v[3], 21) ^ v[0];
    v[2] += v[1], v[1] = FRAME_ROTATE(v[1], 17) ^ v[2], v[2] = FRAME_ROTATE(v[2], 32);
}

/* SipHash-2-4 (Aumasson and Bernstein 2012) of eight bytes. */
static inline uint64_t frame_hash(const uint8_t key[FRAME_KEY], const uint8_t text[8])
{
    uint64_t k0 = frame_load64(key), k1 = frame_load64(key + 8);
    uint64_t blocks[2] = {frame_load64(text), 8ULL << 56};
    uint64_t v[4] = {k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261,
                     k1 ^ 0x7465646279746573};
    for (int i = 0; i < 2; i++) {
        v[3] ^= blocks[i];
        frame_sip_round(v);
        frame_sip_round(v);
        v[0] ^= blocks[i];
    }
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++)
        frame_sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* The public name of a session: a keyed hash of fixed bytes, so that the name, which stands in
 * socket names and frames, does not give the key away. */
static inline uint64_t frame_session(const uint8_t key[FRAME_KEY])
{
    static const uint8_t text[8] = {'s', 'e', 's', 's', 'i', 'o', 'n', '1'};
    return frame_hash(key, text);
}

#endif
