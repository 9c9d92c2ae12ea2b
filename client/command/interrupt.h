/* interrupt.h - Ctrl-C cancels the statement that runs, and is no end of the program.  One program,
 * one thread.
 */
#ifndef PCL_CLIENT_COMMAND_INTERRUPT_H
#define PCL_CLIENT_COMMAND_INTERRUPT_H

#include "client/portcullis.h"

#include <stdbool.h>

/* From now on; what came before is forgotten.  again_ends: a second one ends the program. */
void pcl_interrupt_catch(bool again_ends);
bool pcl_interrupt_came(void);

/* Waits for the answer.  When an interrupt came the request is cancelled, and the answer is what
 * became of it.  Takes the future; NULL: NULL, memory is out. */
portcullis_result *pcl_interrupt_wait(portcullis *client, portcullis_future *future);

#endif
