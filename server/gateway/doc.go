// Package gateway is a replica's public port: gRPC, JSON over HTTP/1.1, health
// and reflection on one listener, and the POSTs to reply URLs.
//
// The way of one request: a service (compat.go, client_service.go) or a
// session stream (stream.go) checks it and makes the group's canonical bytes
// once; Backend.Submit hands them to the core. What was executed comes back by
// DeliverBlock to the session streams, by DeliverReply to the callers that wait
// for f+1 equal outcomes (collector.go), and by PostReply to reply URLs.
//
// Nothing that a caller sends can block the replica or grow without bound:
//
//	what                  bound                       when it is full
//	body of one request   twice max_batch_bytes       413
//	bodies being handled  maxBodies bytes             429
//	callers that wait     maxWaiters in all,          RESOURCE_EXHAUSTED, 429
//	                      maxSameWaiters a request
//	sessions              maxHandles a stream,        the session is refused
//	                      maxSessions in all
//	streams of a session  maxSubscribers              the oldest gets no more
//	replies of a stream   outboxBytes                 the stream is closed
//	scrapes of /metrics   maxScrapes at once          429
//	POSTs that wait       maxHostQueued a host,       the oldest is dropped
//	                      maxPostBytes in all         and counted
package gateway
