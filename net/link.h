/* link.h - the DEALER to the next hop down (or, from an agent, to its proxy),
 * with beats both ways.
 *
 * A link is DOWN until the peer has answered, and again when it has been
 * silent for PCL_BEATS_GONE intervals (_GONE_ALONE of a patient link), when the
 * connection ended (of a link that is watched), or when it comes back with
 * another boot id; in all cases what was in flight on it is lost, and the owner
 * answers for it.  On tcp it is not silent while octets of a long message pass,
 * behind which its beats wait.
 *
 * On tcp a link that has no connection is connected anew every two seconds: a peer that has refused
 * our key would otherwise be given up for good, also when it lists the key later.
 */
#ifndef PCL_NET_LINK_H
#define PCL_NET_LINK_H

#include "common/transit.h"
#include "net/hop.h"
#include "net/hop_outbox.h"
#include "net/liveness.h"
#include "net/socket.h"
#include "wire/report.h"

typedef struct pcl_link pcl_link;

/* name is sent as the principal of beats (an agent's node name; "" for others), copied.  seed:
 * jitter of the beats.  NULL: error says why. */
pcl_link *pcl_link_new(const pcl_socket_options *options, const char *name, uint64_t boot_id,
                       uint64_t seed, char *error, size_t error_size);
void pcl_link_destroy(pcl_link **self_p);

zsock_t *pcl_link_socket(pcl_link *self); /* to poll; owned by the link */
pcl_link_state pcl_link_state_now(const pcl_link *self);

/* From now on the end of the connection is noticed at once: the peer died, or the network cut it.
 * Returns the socket to poll, owned by the link; when it is readable, first read the link's own
 * until nothing is left, for what the peer had answered before counts, then call pcl_link_cut.
 * NULL: error says why. */
zsock_t *pcl_link_watch(pcl_link *self, char *error, size_t error_size);
/* LOST when the connection ended since the last call and the link was not DOWN.  A new connection
 * does not make the link UP, its peer's answer does; it is asked as soon as it is there. */
pcl_link_event pcl_link_cut(pcl_link *self, uint64_t now_us);

/* There is no other link to send the work to: on tcp, where a neighbour that has little of the
 * processor is long about a long message, its silence is borne for longer. */
void pcl_link_be_patient(pcl_link *self);

/* Calls unsent for what pcl_link_send took and could not be sent after all: the peer is not there
 * any more (net/hop_outbox.h).  From _flush, and from whatever returns LOST or REPLACED, just
 * before.
 */
void pcl_link_on_unsent(pcl_link *self, pcl_hop_outbox_unsent *unsent, void *context);

/* What is received borrows from now on, as of pcl_hop_inbox_lend. */
void pcl_link_lend(pcl_link *self);

/* The next message, as pcl_hop_recv; then pcl_link_heard. */
pcl_hop_recv_result pcl_link_recv(pcl_link *self, pcl_hop_message *out_message);

/* Every turn of the loop, or at least every 50 ms: sends the beat when one is due: a BEAT with
 * report when that is not NULL, else a PING; and notices silence.  The first beat of a connection
 * is due at once, the second after a random part of the interval of 200 ms, every other after the
 * interval +-20%: the beats of many who lost the same peer do not come in step. */
pcl_link_event pcl_link_tick(pcl_link *self, uint64_t now_us, const pcl_report *report);

/* A beat beside the others, since there is news; as pcl_link_tick sends it. */
void pcl_link_beat(pcl_link *self, uint64_t now_us, const pcl_report *report);

/* Answers a PING: with a BEAT when there is a report, else with a PONG; with the PING's ticket.  A
 * peer that does not take its answer asks again. */
void pcl_link_answer(pcl_link *self, const pcl_head *ping, uint64_t now_us,
                     const pcl_report *report);

/* For every message received on the link, before anything else looks at it.
 * *out_wait_us (may be NULL): how long it waited on its way (common/transit.h). */
pcl_link_event pcl_link_heard(pcl_link *self, const pcl_head *head, uint64_t now_us,
                              uint64_t *out_wait_us);

/* Fills head->sent_us and sends, at the next pcl_link_flush at the latest.  A REQUEST needs a link
 * that is UP, a CANCEL one that is not DOWN, else UNAVAILABLE; other kinds are always tried.  Then
 * as pcl_hop_send, but UNAVAILABLE when there is no queue because a watched connection ended, even
 * before pcl_link_cut has said so. */
pcl_err pcl_link_send(pcl_link *self, pcl_head *head, zmq_msg_t *payload, zmq_msg_t *tail,
                      uint64_t now_us) PCL_MUST_CHECK;

/* Sends what was gathered; at the end of each turn of the loop. */
void pcl_link_flush(pcl_link *self, uint64_t now_us);
/* Messages that wait to be sent; after a flush for want of room only. */
uint32_t pcl_link_unsent_count(const pcl_link *self);

#endif
