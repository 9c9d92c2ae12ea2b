/* gtid.h - what a transaction, and what a server's whole past, is called.  Pure.
 *
 *   MariaDB   0-1-42,1-7-3           domain-server-sequence: that transaction, and as a position
 * all before it in its domain MySQL     UUID:1-42:50,UUID:TAG:7  transactions of a server, in
 * intervals; tags since 8.3
 *
 * Texts are the servers' own, in any order, with blanks and line ends around the items.  Nothing is
 * allocated and every function is total: a text that is no set of GTIDs has what can be read of it,
 * and nothing has it.
 *
 * A *position* is a set that has one transaction for each origin (domain and server, or UUID and
 * tag): the last.  Sources number transactions in the order of their commits and replicas keep that
 * order, so it stands for all before it.
 */
#ifndef PCL_WIRE_GTID_H
#define PCL_WIRE_GTID_H

#include "common/bytes.h"
#include "common/limits.h"
#include "wire/report.h"

#include <stdbool.h>
#include <stdint.h>

#define PCL_GTID_UUID_SIZE    16u
#define PCL_GTID_TAG_SIZE_MAX 32u
#define PCL_GTID_ORIGINS_MAX  96u /* of one position: nothing has one of more items */

/* One interval of one origin. */
typedef struct pcl_gtid_item {
    pcl_flavor flavor;
    uint32_t domain, server; /* MariaDB */
    uint8_t uuid[PCL_GTID_UUID_SIZE];
    pcl_bytes tag;        /* MySQL; borrowed from the text, empty for none */
    uint64_t first, last; /* first <= last, at least 1 on MySQL; equal on MariaDB */
} pcl_gtid_item;

typedef struct pcl_gtid_reader {
    pcl_bytes text; /* borrowed */
    size_t offset;
    pcl_gtid_item origin; /* MySQL: of the intervals that follow */
    bool inside;          /* ... in an item of which at least one was read */
    bool failed;          /* the text is no set of GTIDs from here on */
} pcl_gtid_reader;

pcl_gtid_reader pcl_gtid_reader_of(pcl_bytes text);
/* false at the end, or when self->failed. */
bool pcl_gtid_next(pcl_gtid_reader *self, pcl_gtid_item *out_item) PCL_MUST_CHECK;

/* The flavor of a set that has at least one item and is well-formed as a whole; else UNKNOWN. */
pcl_flavor pcl_gtid_flavor(pcl_bytes text);

/* Whether a server whose executed set, or position, is `set` has what the position names.  MySQL:
 * each number lies in an interval of its origin.  MariaDB: the domain has come at least as far; of
 * an equal sequence the server must be the same.  A greater one of another server is taken for
 * later, which a failover can make wrong: pcl_gtid_covers tells. */
bool pcl_gtid_reaches(pcl_bytes set, pcl_bytes position);

/* Whether of each origin in b a has a transaction at least as late.  Of positions: whoever waits
 * for a need not wait for b.  Of MariaDB's gtid_binlog_state and a position: the server wrote those
 * very transactions to its log. */
bool pcl_gtid_covers(pcl_bytes a, pcl_bytes b);

/* The position of two sets (b may be empty), with all their origins, written the one way there is,
 * and NUL terminated.  Returns its size; 0, and target is "", when one is malformed, the flavors
 * differ, nothing is in them or it does not fit. */
size_t pcl_gtid_merge(pcl_bytes a, pcl_bytes b, char *target, size_t target_size);

/* Of each domain of a MariaDB position the item that is furthest, for functions of the server that
 * take a domain once; a MySQL position as it is.  As merge. */
size_t pcl_gtid_furthest(pcl_bytes position, char *target, size_t target_size);

#endif
