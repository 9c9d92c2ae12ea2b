/* tsan.h - tells the thread sanitizer of a hand-over that it cannot see.
 *
 * libzmq is not built with the sanitizer, so octets that one thread writes and
 * another reads after they went through a socket look like a race.  GIVES goes
 * before the sending, TAKES after the receiving, with one address for both.
 * Empty in every other build.
 */
#ifndef PCL_NET_TSAN_H
#define PCL_NET_TSAN_H

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define PCL_TSAN 1
#endif
#elif defined(__SANITIZE_THREAD__)
#define PCL_TSAN 1
#endif

#ifdef PCL_TSAN
#include <sanitizer/tsan_interface.h>
#include <stdint.h>
#define PCL_TSAN_GIVES(address) __tsan_release((void *)(uintptr_t)(address))
#define PCL_TSAN_TAKES(address) __tsan_acquire((void *)(uintptr_t)(address))
#else
#define PCL_TSAN_GIVES(address) ((void)(address))
#define PCL_TSAN_TAKES(address) ((void)(address))
#endif

#endif
