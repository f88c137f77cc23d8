//go:build pin

package main

// Keeps golang.org/x/vulndb in tools/go.mod: its reports are data, and
// `go mod tidy` only keeps what some Go file imports. This package is the one
// of that module that drags in nothing else.
import _ "golang.org/x/vulndb/cmd/vulnreport/color"
