// Package wire holds what both ends of a stream share: a codec that lets hot
// messages past protobuf's reflection, the session messages appended and
// parsed by hand on exactly the wire that proto/ defines, the gRPC options of
// every dial and server, and strict JSON.
//
// Nothing here reads or checks a signature: canonical bytes are package
// crypto's.
package wire
