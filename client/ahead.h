/* ahead.h - pages of a result that are asked for before the page in front of them has come.
 *
 * A page's cursor is known before that page is (docs/rfc/1, section 3.6), so several fetches of one
 * result may be under way; their node serves them in order.  A future of a page therefore owns the
 * futures of the pages behind it, one in the other, and hands them on with its page.
 *
 * 1. Asked for early is asked for once more, where that fetch left no trace: it overtook the one
 *    before it (GONE, as of a page that is not the next one), or was refused, or its deadline
 *    passed while it waited for the page before.  Then it is as if nothing had been asked for
 *    early.
 * 2. A fetch that was refused ends the asking early: there is a limit that it would meet again.
 *    Behind one that has failed nothing is sent, which would be in the way when it is asked for
 *    once more.
 * 3. Behind the last page, and behind one that failed, what was asked for is let go.
 * 4. Of a result's first pages one is under way, and with every four pages that have come one
 *    more may be, up to what was asked for: many a result ends soon, and what is asked for behind
 *    its end costs every hop a little.
 * 5. A page's time begins when it is asked for, and it waits for those in front of it: the n-th
 *    under way has n times the time of one.
 */
#ifndef PCL_CLIENT_AHEAD_H
#define PCL_CLIENT_AHEAD_H

#include "client/call.h"
#include "client/portcullis.h"
#include "common/limits.h"

#include <stdbool.h>
#include <stdint.h>

/* What a fetch needs to know. */
typedef struct pcl_page_ask {
    portcullis *client; /* borrowed */
    pcl_pin pin;
    pcl_call_terms terms;
    uint8_t id[PCL_ID_SIZE];
    uint8_t cursor[PCL_ID_SIZE];
    uint32_t page; /* its number, from 1; the result's first has no fetch */
} pcl_page_ask;

/* What the future of a page owns beside its result; NULL of other futures. */
typedef struct pcl_ahead pcl_ahead;

/* OK: the call of that fetch, with pin; as pcl_request_encode_call. */
pcl_err pcl_ahead_make_call(const pcl_page_ask *ask, pcl_call **out_call) PCL_MUST_CHECK;

/* Sends for that page, and for those behind it as far as terms.pages_ahead and rule 4 say.
 * *chain_p: the future of that page, if it is under way already, which is taken and returned; or
 * NULL. *out_sent: is it under way, and not refused?  NULL: memory is out. */
portcullis_future *pcl_ahead_start(const pcl_page_ask *ask, portcullis_future **chain_p,
                                   bool *out_sent) PCL_MUST_CHECK;

/* The result of a future came, of which *self_p was; takes that.  NULL: the result has now what was
 * asked for behind it (pcl_result_take_ahead).  Else it was destroyed, and this is the future of
 * the same page, asked for once more. */
portcullis_future *pcl_ahead_settle(pcl_ahead **self_p, portcullis_result *result) PCL_MUST_CHECK;

/* Nobody waits for the page any more, nor for those behind it. */
void pcl_ahead_destroy(pcl_ahead **self_p);

#endif
