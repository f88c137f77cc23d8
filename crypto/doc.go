// Package crypto holds what clients and replicas must compute alike, byte for
// byte: canonical bytes, digests, Merkle roots, and Ed25519 signatures.
//
// Canonical bytes have a fixed field order, big-endian fixed-width integers,
// strings as u32 length and bytes, and lists as u32 count and items. Only what
// is hashed as a whole, such as a reply block or a bucket of state, is its
// items back to back. Digests are SHA-256 over tag || cluster id || fields.
// Golden vectors in testdata pin them; a change of any of them is a new version
// of the wire.
package crypto
