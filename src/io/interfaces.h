/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * The definitions of the two Varlink interfaces, as introspection gives them and as clients are written from. The daemons answer them
 * (rsd/, peerd/), the tool asks them (ctl/).
 */

extern const char interface_peer[];             /* org.p2pdi.Peer */
extern const char interface_registration[];     /* org.p2pdi.Registration */

/* File names of the control sockets in the runtime directory. */
#define CONTROL_SOCKET_PEER "org.p2pdi.Peer"
#define CONTROL_SOCKET_REGISTRATION "org.p2pdi.Registration"
