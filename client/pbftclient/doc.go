// Package pbftclient orders operations on a cluster of PBFT replicas and
// believes only what f+1 of them say alike.
//
// A Client keeps one stream to every replica. Sessions, one for each client id,
// share the streams, and any number of requests may be in flight: what waits is
// sent in groups. A request goes to the primary of the view that f+1 replicas
// claim to be in, and to all replicas if no answer comes in time. One replica
// sends results in full, the others a digest for each batch; results are
// accepted once f+1 replicas have vouched for them. A source of results that is
// late or gone is replaced by another one.
//
// Submit with a context is all that most programs need; Start serves those with
// very many requests. An operation is executed at most once. If the context
// ends first, the error says whether the operation was sent: ErrNotSent, or
// *UnknownError, whose outcome Session.Outcome tells later. The client itself
// never gives up on a request that was sent.
//
// One client id is one program at a time. Numbers start from the clock and
// rise: a program that takes over a client id closes the numbers of its
// predecessor (ErrExpired). A Client without an id of its own draws one at
// random.
//
// Replicas are dialed without TLS, since clusters have no keys yet.
package pbftclient
