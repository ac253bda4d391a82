// Who may come in, and what they may do: on a server with a configuration of its own, in clear, or with INTEROP_TLS
// over TLS where only the server shows a certificate.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
	// Whom the certificate of the run means: nobody is called localhost, its DNS name.
	mapped = `authorization { users: [ {user: "CN=client"}, {user: plain, password: secret} ] }
`
	// A user's JWT and seed, as operator mode wants them. Where that is off nobody looks at them: a server without logins
	// lets them in, one with logins does not know the user.
	creds = "-----BEGIN NATS USER JWT-----\n" +
		"eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ.eyJpYXQiOjE3MDAwMDAwMDAsImlzcyI6IkFCWTM1SElQMlhGS" +
		"EdTM0hKNUZNTFUzMzVLU1VCTkNGMldRNlBRUEwyS1FWSFVRRUdKWFZRU01CIiwibmFtZSI6ImludGVyb3AiLCJzdWIiOiJVQ" +
		"UIyQ0I1NzZQSEJCUFE1T0RPUlJaMkxZQ01XUFpHV0dDTjJLREs3RFhPSU1aQVNLVVkzUkxLSyIsIm5hdHMiOnsicHViIjp7f" +
		"Swic3ViIjp7fSwic3VicyI6LTEsImRhdGEiOi0xLCJwYXlsb2FkIjotMSwidHlwZSI6InVzZXIiLCJ2ZXJzaW9uIjoyfSwia" +
		"nRpIjoiRUM2RllUMlZISUVOWkJWUlNQNUhGNlQ0Tkc0Q1lITlhVVk9OTkZQM1RMUkYyRDY1QkpNQSJ9.BjgynzuXtk6DYbck" +
		"JCI4RIDhfdSfzu-QgB017PtDMaXZVA9gF6jhq54KG61YNVtYfvjs2Tyh64pCKwtBHKoACg" +
		"\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n" + userSeed +
		"\n------END USER NKEY SEED------\n"
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

// withTLS is the configuration, with TLS behind it where the run has it; `more` goes into that block.
func withTLS(content, more string) string {
	folder := os.Getenv("INTEROP_TLS")
	if folder == "" {
		return content
	}
	return content + fmt.Sprintf("tls { cert_file: %q, key_file: %q%s }\n", filepath.Join(folder, "server.pem"),
		filepath.Join(folder, "server.key"), more)
}

// oneWay is TLS without a certificate of ours, where the run has TLS.
func oneWay(options ...nats.Option) []nats.Option {
	if folder := os.Getenv("INTEROP_TLS"); folder != "" {
		return append(options, nats.RootCAs(filepath.Join(folder, "ca.pem")))
	}
	return options
}

// guarded starts a server with a configuration, and without the flags of the run, which ask for certificates on both sides.
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

// letIn connects, makes sure of it, and closes.
func (r *run) letIn(own *run, what string, options ...nats.Option) {
	connection, err := nats.Connect(own.url, options...)
	r.ok(err, what)
	r.flush(connection)
	connection.Close()
}

func (r *run) refused(own *run, options ...nats.Option) {
	_, err := nats.Connect(own.url, options...)
	r.must(errors.Is(err, nats.ErrAuthorization), "expected an authorization violation, got %v", err)
}

// token: tokens, and a credentials file where there is a token and where there is nothing.
func (r *run) token() {
	file, remove := r.temporary(creds)
	defer remove()
	own, stop := r.guarded(withTLS("authorization { token: t0ken }\n", ""))
	defer stop()
	r.refused(own, oneWay(nats.Token("token"))...)
	r.refused(own, oneWay(nats.UserCredentials(file))...)
	r.letIn(own, "token", oneWay(nats.Token("t0ken"))...)
	open, stopOpen := r.guarded(withTLS("", ""))
	defer stopOpen()
	r.letIn(open, "credentials file", oneWay(nats.UserCredentials(file))...)
}

// certificate: the one of the run says who comes, and nothing else does.
func (r *run) certificate() {
	folder := os.Getenv("INTEROP_TLS")
	own, stop := r.guarded(withTLS(mapped, fmt.Sprintf(", ca_file: %q, verify_and_map: true", filepath.Join(folder, "ca.pem"))))
	defer stop()
	r.letIn(own, "certificate", secure()...)
	r.refused(own, append(secure(), nats.UserInfo("CN=client", "x"))...)
	r.refused(own, append(secure(), nats.UserInfo("plain", "secret"))...)
	_, err := nats.Connect(own.url, oneWay(nats.UserInfo("plain", "secret"))...)
	r.must(err != nil, "let in without a certificate")
}

func loginsAndPermissions(r *run) {
	r.token()
	if os.Getenv("INTEROP_TLS") != "" {
		r.certificate()
	}
	own, stop := r.guarded(withTLS(logins, ""))
	defer stop()
	seed, remove := r.temporary(userSeed + "\n")
	defer remove()
	key, err := nats.NkeyOptionFromSeed(seed)
	r.ok(err, "seed")
	for _, wrong := range []nats.Option{nats.UserInfo("plain", "Secret"), nats.UserInfo("hashed", "U*V"),
		nats.UserInfo("nobody", "secret"), nats.Token("secret"), nats.Name("nobody"),
		nats.Nkey(userKey, func([]byte) ([]byte, error) { return make([]byte, 64), nil })} {
		r.refused(own, oneWay(wrong)...)
	}
	violations := make(chan error, 10)
	limited, err := nats.Connect(own.url, oneWay(key, nats.ErrorHandler(
		func(_ *nats.Conn, _ *nats.Subscription, err error) { violations <- err }))...)
	r.ok(err, "NKey")
	defer limited.Close()
	plain, err := nats.Connect(own.url, oneWay(nats.UserInfo("plain", "secret"))...)
	r.ok(err, "plain")
	defer plain.Close()
	hashed, err := nats.Connect(own.url, oneWay(nats.UserInfo("hashed", "U*U"))...)
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
