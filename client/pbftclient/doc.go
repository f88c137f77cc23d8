// Package pbftclient orders operations on a cluster of PBFT replicas and
// believes only what f+1 of them say alike.
//
// A Client keeps one stream to every replica. Any number of requests may be in
// flight; what waits is sent in groups. A request goes to the primary that the
// client believes in, and to all replicas if no answer comes in time. One
// replica sends results in full, the others a digest per batch, and a result
// is accepted once f+1 of them match.
//
// Submit with a context is all that most programs need:
//
//	c, err := pbftclient.New(pbftclient.FromConfig(cfg))
//	r, err := c.Submit(ctx, []byte("put colour green"))
//
// An operation is executed at most once. If the context ends first, the error
// is ErrOutcomeUnknown: the operation may have been executed, or may still be.
// Session.Outcome tells later.
//
// One client id is one program at a time: its numbers rise, and a program that
// takes over with larger ones closes those of its predecessor. A Client
// without an id of its own draws one at random and starts its numbers from the
// clock.
package pbftclient
