package config

import (
	"errors"
	"strconv"
	"strings"
)

// scalar is one value as the file writes it. YAML's own idea of numbers is
// not used: it reads 010 as 8.
type scalar struct {
	tag  string // resolved: !!str, !!int, !!float, ...
	text string
}

// errKind says that a value is of another kind; the caller knows what it wants.
var errKind = errors.New("another kind of value")

func (v scalar) isString() bool { return v.tag == "!!str" }

// decimal reads a whole number in plain decimal digits.
func (v scalar) decimal() (int64, error) {
	if v.tag != "!!int" || !isDecimal(strings.TrimPrefix(v.text, "-")) {
		return 0, errKind
	}
	return strconv.ParseInt(v.text, 10, 64)
}

func isDecimal(s string) bool {
	for _, r := range s {
		if r < '0' || r > '9' {
			return false
		}
	}
	return s != "" && (s == "0" || s[0] != '0')
}

// bytes reads a whole number, with a unit of 1024 bytes or a power of it.
func (v scalar) bytes() (int64, error) {
	if !v.isString() {
		return v.decimal()
	}
	for _, u := range units {
		digits, ok := strings.CutSuffix(v.text, u.name)
		if !ok {
			continue
		}
		digits = strings.TrimSpace(digits)
		if !isDecimal(digits) {
			return 0, errKind
		}
		n, err := strconv.ParseInt(digits, 10, 32)
		return n * u.bytes, err // at most 2^31 * 2^30: no overflow
	}
	return 0, errKind
}

// float reads a finite number.
func (v scalar) float() (float64, error) {
	if v.tag != "!!int" && v.tag != "!!float" || strings.Trim(v.text, "+-.0123456789eE") != "" {
		return 0, errKind
	}
	return strconv.ParseFloat(v.text, 64)
}
