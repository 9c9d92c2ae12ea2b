#include "client/command/interrupt.h"

#include <signal.h>
#include <stddef.h>

/* How long Ctrl-C may go unseen; an answer is seen at once. */
#define LOOK_MS 50

static volatile sig_atomic_t s_came;

static void s_on_signal(int number)
{
    (void)number;
    s_came = 1;
}

void pcl_interrupt_catch(bool again_ends)
{
    s_came = 0;
    int once = again_ends ? (int)SA_RESETHAND : 0;
    struct sigaction action = {.sa_handler = s_on_signal, .sa_flags = SA_RESTART | once};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL); /* cannot fail */
}

bool pcl_interrupt_came(void)
{
    return s_came != 0;
}

portcullis_result *pcl_interrupt_wait(portcullis *client, portcullis_future *future)
{
    bool cancelled = false;
    portcullis_result *result = NULL;
    while (future != NULL && (result = portcullis_future_wait(&future, LOOK_MS)) == NULL) {
        if (s_came != 0 && !cancelled) {
            cancelled = portcullis_cancel(client, portcullis_future_id(future)) == PORTCULLIS_OK;
        }
    }
    return result;
}
