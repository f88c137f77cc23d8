package config

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/pbft-go/pbft/crypto"
)

const maxPort = 65535

func (p *parser) nodes(path string, n *yaml.Node) {
	p.list(path, n, func(path string, v *yaml.Node) {
		var node Node
		p.mapping(path, v, []field{
			{"host", p.host(&node.Host)},
			{"port", p.port(&node.Port)},
			{"peer_port", p.port(&node.PeerPort)},
		})
		p.required(path, v, "host", "port")
		if node.Port > 0 && p.lines[path+".peer_port"] == 0 {
			node.PeerPort = node.Port + peerPortOffset
			if node.PeerPort > maxPort {
				p.fail(v.Line, path+".peer_port", "would be port+%d = %d, allowed are 1 to %d: set it", peerPortOffset, node.PeerPort, maxPort)
			}
		}
		p.config.Nodes = append(p.config.Nodes, node)
	})
}

func (p *parser) clients(path string, n *yaml.Node) {
	p.list(path, n, func(path string, v *yaml.Node) {
		var e Endpoint
		p.mapping(path, v, []field{
			{"host", p.host(&e.Host)},
			{"port", p.port(&e.Port)},
		})
		p.required(path, v, "host", "port")
		p.config.Clients = append(p.config.Clients, e)
	})
}

// required reports the names that the mapping n does not hold.
func (p *parser) required(path string, n *yaml.Node, names ...string) {
	if n.Kind != yaml.MappingNode {
		return // reported already
	}
	for _, name := range names {
		if p.lines[path+"."+name] == 0 {
			p.fail(n.Line, path+"."+name, "is missing, every entry needs %s", strings.Join(names, " and "))
		}
	}
}

func (p *parser) host(to *string) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		v, ok := p.scalar(path, n)
		if !ok {
			return
		}
		host, ip, ok := parseHost(v.text)
		switch {
		case !v.isString() || !ok:
			p.fail(n.Line, path, "is %s, allowed is a host name or an IP address, without port and brackets", describe(n))
		case ip.IsUnspecified():
			p.fail(n.Line, path, "is %s, which others cannot dial: name an address of this host", describe(n))
		default:
			*to = host
		}
	}
}

// parseHost gives the one spelling of a host name or IP address, so that the
// same host is always the same text. ip is invalid for a name.
func parseHost(s string) (host string, ip netip.Addr, ok bool) {
	if ip, err := netip.ParseAddr(s); err == nil {
		ip = ip.Unmap()
		return ip.String(), ip, true
	}
	host = strings.TrimSuffix(strings.ToLower(s), ".")
	return host, ip, isHostName(host)
}

// isHostName accepts what resolvers accept: labels of letters, digits, '-' and '_'.
func isHostName(s string) bool {
	if len(s) > 253 {
		return false
	}
	allDigits := true // and dots: an IP address that is none
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, r := range label {
			digit := r >= '0' && r <= '9'
			if !digit && r != '-' && r != '_' && (r < 'a' || r > 'z') {
				return false
			}
			allDigits = allDigits && digit
		}
	}
	return !allDigits
}

func (p *parser) port(to *int) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		v, ok := p.scalar(path, n)
		if !ok {
			return
		}
		port, err := v.decimal()
		if err != nil || port < 1 || port > maxPort {
			p.fail(n.Line, path, "is %s, allowed are 1 to %d", describe(n), maxPort)
			return
		}
		*to = int(port)
	}
}

func (p *parser) replyHosts(path string, n *yaml.Node) {
	p.list(path, n, func(path string, v *yaml.Node) {
		var host string
		p.host(&host)(path, v)
		p.config.AllowReplyHosts = append(p.config.AllowReplyHosts, host)
	})
}

func (p *parser) clusterID(path string, n *yaml.Node) {
	v, ok := p.scalar(path, n)
	if !ok {
		return
	}
	// The text, whatever its type: an id may look like a number.
	id, err := hex.DecodeString(v.text)
	if err != nil || len(id) != len(crypto.ClusterID{}) || slices.Max(id) == 0 {
		p.fail(n.Line, path, "is %s, allowed are %d hexadecimal digits, not all zero", describe(n), 2*len(crypto.ClusterID{}))
		return
	}
	p.config.ClusterID = crypto.ClusterID(id)
}
