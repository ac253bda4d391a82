//go:build tools

// tests/interop/tools/top - names nats-top, so that `go build` in this folder finds it by go.mod and go.sum: `go install`
// of a version would also ask for the list of all versions, which not every proxy serves.
package top

import _ "github.com/nats-io/nats-top"
