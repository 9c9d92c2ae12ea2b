#include "client/belief.h"

/* Do gatekeepers, or brokers that refuse a seal, say this by themselves? */
static bool s_needs_no_seal(pcl_bytes code)
{
    static const char *const CODES[] = {
        "MALFORMED", "VERSION",    "TOO_LARGE",   "UNSUPPORTED", "FORBIDDEN",
        "REFUSED",   "OVERLOADED", "UNAVAILABLE", "DEADLINE",    "LOST",
        "DRAINING",  "NO_MEMORY",  "INTERNAL",
    };
    for (size_t index = 0; index < sizeof CODES / sizeof *CODES; index++) {
        if (pcl_bytes_is(code, CODES[index])) {
            return true;
        }
    }
    return false;
}

pcl_belief pcl_believe(const pcl_reply *reply, bool sealed)
{
    if (sealed) {
        return PCL_BELIEF_WORD;
    }
    bool hop = pcl_bytes_is(reply->error_hop, "gatekeeper") ||
               pcl_bytes_is(reply->error_hop, "broker");
    return !reply->ok && hop && s_needs_no_seal(reply->error_code) ? PCL_BELIEF_REFUSAL
                                                                   : PCL_BELIEF_NONE;
}
