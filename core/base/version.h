/* core/base/version.h - what Myelin calls itself, and the NATS level that clients find in INFO and in `-v`.
 */
#ifndef CORE_BASE_VERSION_H
#define CORE_BASE_VERSION_H

#define MYELIN_VERSION "0.1.0"
#define MYELIN_NATS_VERSION "2.10.29"
#define MYELIN_STREAMING_VERSION "0.25.6" /* of nats-streaming-server */

#endif
