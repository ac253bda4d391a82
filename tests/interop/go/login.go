// Who may come in, and what they may do: on a server with a configuration of its own, in clear.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/nats-io/nats.go"
)

const (
	userKey  = "UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK"
	userSeed = "SUAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H776Y"
	// "U*U" behind the hash.
	logins = `authorization { users: [
 {user: plain, password: secret}
 {user: hashed, password: "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"}
 {nkey: ` + userKey + `, permissions: {publish: "in.>", subscribe: {allow: "in.>", deny: "in.secret"}}}
] }
`
)

// temporary writes a file that is gone with the scenario.
func (r *run) temporary(content string) (string, func()) {
	file, err := os.CreateTemp("", "interop-go-")
	r.ok(err, "temporary file")
	_, err = file.WriteString(content)
	r.ok(err, "temporary file")
	r.ok(file.Close(), "temporary file")
	return file.Name(), func() { os.Remove(file.Name()) }
}

// guarded starts a server with a configuration, and without the flags of the run, which may ask for TLS.
func (r *run) guarded(content string) (*run, func()) {
	config, remove := r.temporary(content)
	flags := os.Getenv("MYELIN_FLAGS")
	os.Setenv("MYELIN_FLAGS", "-c "+config)
	defer os.Setenv("MYELIN_FLAGS", flags)
	port, err := freePort()
	r.ok(err, "port")
	server, err := startServer(r.binary, port)
	r.ok(err, "server")
	return &run{url: fmt.Sprintf("nats://127.0.0.1:%d", port)}, func() { killServer(server); remove() }
}

func (r *run) token() {
	own, stop := r.guarded("authorization { token: t0ken }\n")
	defer stop()
	_, err := nats.Connect(own.url, nats.Token("token"))
	r.must(errors.Is(err, nats.ErrAuthorization), "expected an authorization violation, got %v", err)
	connection, err := nats.Connect(own.url, nats.Token("t0ken"))
	r.ok(err, "token")
	connection.Close()
}

func loginsAndPermissions(r *run) {
	r.token()
	own, stop := r.guarded(logins)
	defer stop()
	seed, remove := r.temporary(userSeed + "\n")
	defer remove()
	key, err := nats.NkeyOptionFromSeed(seed)
	r.ok(err, "seed")
	for _, wrong := range []nats.Option{nats.UserInfo("plain", "Secret"), nats.UserInfo("hashed", "U*V"),
		nats.UserInfo("nobody", "secret"), nats.Token("secret"), nats.Name("nobody"),
		nats.Nkey(userKey, func([]byte) ([]byte, error) { return make([]byte, 64), nil })} {
		_, err := nats.Connect(own.url, wrong)
		r.must(errors.Is(err, nats.ErrAuthorization), "expected an authorization violation, got %v", err)
	}
	violations := make(chan error, 10)
	limited, err := nats.Connect(own.url, key, nats.ErrorHandler(
		func(_ *nats.Conn, _ *nats.Subscription, err error) { violations <- err }))
	r.ok(err, "NKey")
	defer limited.Close()
	plain, err := nats.Connect(own.url, nats.UserInfo("plain", "secret"))
	r.ok(err, "plain")
	defer plain.Close()
	hashed, err := nats.Connect(own.url, nats.UserInfo("hashed", "U*U"))
	r.ok(err, "hashed")
	defer hashed.Close()

	wide := r.subscribe(limited, "in.*", "")
	r.subscribe(limited, "out", "")
	r.flush(limited)
	r.ok(limited.Publish("out", nil), "publish")
	r.flush(limited)
	for _, what := range []string{`subscription to "out"`, `publish to "out"`} {
		err := <-violations
		r.must(strings.Contains(strings.ToLower(err.Error()), what), "expected a violation of %s, got %v", what, err)
	}
	r.ok(plain.Publish("in.secret", []byte("hidden")), "publish")
	r.ok(plain.Publish("in.open", []byte("seen")), "publish")
	r.flush(plain)
	r.expect(wide, "in.open", "seen")
	r.quiet(wide)
}
