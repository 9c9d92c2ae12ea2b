#include "broker/actor.h"

#include "common/clock.h"
#include "net/time.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { PROBLEMS_SIZE_MAX = 65536 };

/* --- The policy -------------------------------------------------------------- */

static void s_log_problems(const pcl_buffer *problems)
{
    pcl_bytes rest = pcl_buffer_bytes(problems);
    while (rest.size > 0) {
        const uint8_t *end = memchr(rest.data, '\n', rest.size);
        size_t size = end != NULL ? (size_t)(end - rest.data) : rest.size;
        char line[PCL_BROKER_MESSAGE_MAX];
        char text[2 * PCL_BROKER_MESSAGE_MAX];
        (void)snprintf(line, sizeof line, "%.*s", (int)size, (const char *)rest.data);
        pcl_log(PCL_LOG_ERROR, PCL_BROKER_WHO, "policy_refused", "problem=\"%s\"",
                pcl_log_escape(line, text, sizeof text));
        size_t used = end != NULL ? size + 1 : size;
        rest = pcl_bytes_of(rest.data + used, rest.size - used);
    }
}

/* Stops what it has in flight and ends what it holds. */
static void s_dismiss(pcl_broker *self, uint32_t index, uint64_t now_us)
{
    char name[PCL_POLICY_NAME_SIZE];
    memcpy(name, pcl_callers_at(self->callers, index)->name, sizeof name);
    uint32_t cancelled = pcl_relay_cancel_owner(self->relay, index, now_us);
    uint32_t released = 0;
    uint8_t session[PCL_ID_SIZE];
    while (pcl_holdings_take(self->holdings, index, session)) {
        pcl_relay_release(self->relay, session, pcl_bytes_text(name), now_us);
        released++;
    }
    pcl_callers_dismiss(self->callers, index);
    pcl_metric_add(self->metrics.dismissed, 1);
    char text[2 * PCL_POLICY_NAME_SIZE];
    pcl_log(PCL_LOG_WARNING, PCL_BROKER_WHO, "principal_gone",
            "principal=\"%s\" cancelled=%u released=%u", pcl_log_escape(name, text, sizeof text),
            cancelled, released);
    pcl_broker_audit_event(self, "principal_gone", name);
}

static void s_set_flow(pcl_broker *self, uint32_t index, const pcl_policy_role *role)
{
    pcl_queue_set_flow(self->queue, index, role->share, role->priority);
}

/* Everybody is somebody of the new policy from now on, or is dismissed. */
static void s_hand_over(pcl_broker *self, const pcl_policy *policy, uint64_t now_us)
{
    uint32_t cursor = 0;
    uint32_t index;
    while ((index = pcl_callers_each(self->callers, &cursor)) != PCL_CALLER_NONE) {
        pcl_caller *caller = pcl_callers_at(self->callers, index);
        const pcl_policy_principal *principal = pcl_policy_find(policy,
                                                                pcl_bytes_text(caller->name));
        if (principal == NULL || strcmp(principal->public_key, caller->public_key) != 0) {
            s_dismiss(self, index, now_us);
        } else {
            caller->principal = principal;
            s_set_flow(self, index, principal->role);
        }
    }
}

bool pcl_broker_read_policy(pcl_broker *self, const pcl_config *config, uint64_t now_us)
{
    pcl_policy_files fresh;
    pcl_buffer problems;
    pcl_buffer_init(&problems, PROBLEMS_SIZE_MAX);
    bool good = pcl_policy_files_load(&fresh, pcl_config_text(config, "policy/file"), &problems);
    if (good) {
        if (self->callers != NULL) {
            s_hand_over(self, fresh.policy, now_us);
        }
        pcl_policy_files_release(&self->policy);
        self->policy = fresh;
        pcl_log(PCL_LOG_INFO, PCL_BROKER_WHO, "policy_loaded", "file=\"%s\" roles=%u principals=%u",
                fresh.file, pcl_policy_role_count(fresh.policy),
                pcl_policy_principal_count(fresh.policy));
        pcl_broker_audit_event(self, "policy_loaded", "");
    } else {
        s_log_problems(&problems);
    }
    pcl_buffer_release(&problems);
    return good;
}

/* --- Callers ----------------------------------------------------------------- */

uint32_t pcl_broker_caller(pcl_broker *self, pcl_bytes name, pcl_err *out_err)
{
    uint32_t index = pcl_callers_find(self->callers, name);
    if (index != PCL_CALLER_NONE) {
        return index;
    }
    *out_err = PCL_ERR_FORBIDDEN;
    bool a_name = name.size > 0 && memchr(name.data, '\0', name.size) == NULL;
    const pcl_policy_principal *principal = a_name ? pcl_policy_find(self->policy.policy, name)
                                                   : NULL;
    if (principal == NULL) {
        return PCL_CALLER_NONE;
    }
    bool forgotten = false;
    *out_err = PCL_ERR_OVERLOADED;
    index = pcl_callers_add(self->callers, name, principal, &forgotten);
    uint8_t session[PCL_ID_SIZE];
    while (forgotten && pcl_holdings_take(self->holdings, index, session)) {
        /* Whose it was is forgotten, and so is this; it ends when it was idle. */
    }
    if (index != PCL_CALLER_NONE) {
        s_set_flow(self, index, principal->role);
    }
    return index;
}

/* --- Seals ------------------------------------------------------------------- */

/* The key of the pair, made at the first seal. */
static bool s_has_key(pcl_broker *self, pcl_caller *caller)
{
    if (caller->key_state == PCL_CALLER_KEY_UNMADE) {
        bool made = self->has_own && caller->public_key[0] != '\0' &&
                    pcl_seal_key_make(&caller->key, false, self->own.secret_key, caller->public_key,
                                      self->own.public_key);
        caller->key_state = made ? PCL_CALLER_KEY_MADE : PCL_CALLER_KEY_WRONG;
    }
    return caller->key_state == PCL_CALLER_KEY_MADE;
}

static pcl_err s_say(char *text, size_t text_size, pcl_err err, const char *why)
{
    (void)snprintf(text, text_size, "seal: %s", why);
    return err;
}

pcl_err pcl_broker_check_seal(pcl_broker *self, uint32_t index, pcl_work *work,
                              const pcl_request *request, pcl_hop_message *message, uint64_t now_us,
                              char *text, size_t text_size)
{
    pcl_caller *caller = pcl_callers_at(self->callers, index);
    pcl_seal seal;
    if (!s_has_key(self, caller)) {
        return s_say(text, text_size, PCL_ERR_FORBIDDEN,
                     "it cannot be checked, for lack of the principal's key or of ours");
    }
    const char *wrong = pcl_seal_read(&seal, PCL_SEAL_REQUEST, pcl_frame_bytes(&message->tail),
                                      pcl_frame_bytes(&message->payload), &caller->key);
    if (wrong != NULL) {
        return s_say(text, text_size, PCL_ERR_FORBIDDEN, wrong);
    }
    if (!request->has_id) {
        return s_say(text, text_size, PCL_ERR_FORBIDDEN, "the request has no id");
    }
    pcl_replay_mark mark = {
        .time_us = seal.time_us,
        .channel = seal.channel,
        .sequence = seal.sequence,
        .timeout_ms = request->timeout_ms != 0 ? request->timeout_ms : PCL_TIMEOUT_MS_DEFAULT,
    };
    pcl_replay_verdict verdict = pcl_replay_take(self->replay, caller->public_key, &mark,
                                                 pcl_wall_us(), now_us);
    if (verdict != PCL_REPLAY_FRESH) {
        pcl_err err = verdict == PCL_REPLAY_EARLY  ? PCL_ERR_UNAVAILABLE
                      : verdict == PCL_REPLAY_FULL ? PCL_ERR_OVERLOADED
                                                   : PCL_ERR_FORBIDDEN;
        return s_say(text, text_size, err, pcl_replay_text(verdict));
    }
    work->sealed = true;
    work->channel = seal.channel;
    work->sequence = seal.sequence;
    pcl_metric_add(self->metrics.sealed, 1);
    return PCL_ERR_OK;
}
