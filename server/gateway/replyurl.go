package gateway

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/pbft-go/pbft/config"
	"github.com/pbft-go/pbft/crypto"
)

// replyHosts are the hosts that this replica POSTs replies to: a client must
// not make it call whatever it likes. Loopback is always among them.
type replyHosts map[string]struct{}

func newReplyHosts(c *config.Config) replyHosts {
	hosts := replyHosts{}
	for _, e := range c.Clients {
		hosts[hostKey(e.Host)] = struct{}{}
	}
	for _, h := range c.AllowReplyHosts {
		hosts[hostKey(h)] = struct{}{}
	}
	return hosts
}

// hostKey makes spellings of one host equal.
func hostKey(host string) string {
	host = strings.ToLower(strings.Trim(host, "[]"))
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap().String()
	}
	return host
}

// allows reports whether a host without port may be called.
func (h replyHosts) allows(host string) bool {
	key := hostKey(host)
	if key == "localhost" {
		return true
	}
	if a, err := netip.ParseAddr(key); err == nil && a.IsLoopback() {
		return true
	}
	_, ok := h[key]
	return ok
}

// check checks a reply URL that came in field. The error is a gRPC status that
// names the field, the value and what is allowed.
func (h replyHosts) check(field, raw string) error {
	if len(raw) > crypto.MaxReplyURL {
		return invalid(field, "%d bytes, the most allowed is %d", len(raw), crypto.MaxReplyURL)
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Opaque != "":
		return invalid(field, "%q is no URL, give one like http://localhost:20001/reply", raw)
	case u.Scheme != "http" && u.Scheme != "https":
		return invalid(field, "%q has scheme %q, allowed are http and https", raw, u.Scheme)
	case u.User != nil:
		return invalid(field, "%q carries a user name, which is not allowed", u.Redacted())
	case u.Hostname() == "":
		return invalid(field, "%q has no host, give one like http://localhost:20001/reply", raw)
	case !h.allows(u.Hostname()):
		text := fmt.Sprintf("host %q is not allowed; allowed are loopback, the hosts under clients and those under allow_reply_hosts in the configuration of the replicas", u.Hostname())
		return violation(codes.PermissionDenied, field, text)
	}
	return nil
}
