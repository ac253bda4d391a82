// The Go client (nats.go) against a NATS-compatible server.
//
// Usage: interop-go [--streaming] URL [SERVER_BINARY]. Prints a line per scenario, then "N passed, N failed, N skipped";
// the exit code is 0 only when nothing failed. MYELIN_FLAGS holds further words for the server that reconnect starts;
// INTEROP_TLS names a folder with certificates, and then all connections use TLS. --streaming: stan.go's scenarios.
// interop-go --history URLS NAME is something else: history.go.
package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	waitFor     = 5 * time.Second       // for what must come
	quietFor    = 50 * time.Millisecond // for what must not come, behind a flush of both sides
	startWithin = 10 * time.Second
)

// run is what a scenario is told, and where it notes what failed.
type run struct {
	url      string
	binary   string
	failures int
}

// must ends the scenario when the condition does not hold; the panic is caught by play.
func (r *run) must(condition bool, format string, arguments ...any) {
	if !condition {
		panic(fmt.Sprintf(format, arguments...))
	}
}

func (r *run) ok(err error, what string) {
	r.must(err == nil, "%s: %v", what, err)
}

// secure is TLS with a certificate, when INTEROP_TLS names a folder with ca.pem, client.pem and client.key.
func secure() []nats.Option {
	folder := os.Getenv("INTEROP_TLS")
	if folder == "" {
		return nil
	}
	return []nats.Option{nats.RootCAs(filepath.Join(folder, "ca.pem")),
		nats.ClientCert(filepath.Join(folder, "client.pem"), filepath.Join(folder, "client.key"))}
}

// connect opens a connection that the scenario closes.
func (r *run) connect(options ...nats.Option) *nats.Conn {
	connection, err := nats.Connect(r.url, append(secure(), options...)...)
	r.ok(err, "connect")
	return connection
}

func (r *run) subscribe(connection *nats.Conn, subject, queue string) *nats.Subscription {
	subscription, err := connection.QueueSubscribeSync(subject, queue)
	r.ok(err, "subscribe "+subject)
	return subscription
}

func (r *run) flush(connection *nats.Conn) {
	r.ok(connection.FlushTimeout(waitFor), "flush")
}

// expect takes the next message and compares subject and payload.
func (r *run) expect(subscription *nats.Subscription, subject, payload string) *nats.Msg {
	message, err := subscription.NextMsg(waitFor)
	r.ok(err, "next message, expected "+payload)
	r.must(message.Subject == subject && string(message.Data) == payload,
		"got %q on %s, expected %q on %s", message.Data, message.Subject, payload, subject)
	return message
}

func (r *run) quiet(subscription *nats.Subscription) {
	message, err := subscription.NextMsg(quietFor)
	r.must(err == nats.ErrTimeout, "expected silence on %s, got %v, %v", subscription.Subject, message, err)
}

// play runs one scenario and turns its panic into a failure.
func play(r *run, name string, scenario func(*run)) {
	started := time.Now()
	before := r.failures
	func() {
		defer func() {
			if reason := recover(); reason != nil {
				r.failures++
				fmt.Fprintf(os.Stderr, "%s: %v\n", name, reason)
			}
		}()
		scenario(r)
	}()
	verdict := "passed"
	if r.failures > before {
		verdict = "FAILED"
	}
	fmt.Printf("%s %s (%d ms)\n", verdict, name, time.Since(started).Milliseconds())
}

func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

// startServer waits until the server accepts; the server dies with this program.
func startServer(binary string, port int, more ...string) (*exec.Cmd, error) {
	words := append([]string{"-a", "127.0.0.1", "-p", fmt.Sprint(port)}, strings.Fields(os.Getenv("MYELIN_FLAGS"))...)
	command := exec.Command(binary, append(words, more...)...)
	command.Stderr = os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		return nil, err
	}
	for started := time.Now(); time.Since(started) < startWithin; time.Sleep(20 * time.Millisecond) {
		connection, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			connection.Close()
			return command, nil
		}
	}
	killServer(command)
	return nil, fmt.Errorf("%s does not accept on port %d", binary, port)
}

// killServer ends it as a power cut would.
func killServer(command *exec.Cmd) {
	if command != nil {
		command.Process.Kill()
		command.Wait()
	}
}

func main() {
	words, chosen := os.Args[1:], scenarios
	if len(words) == 3 && words[0] == "--history" {
		playHistory(words[1], words[2])
	}
	if len(words) > 0 && words[0] == "--streaming" {
		words, chosen = words[1:], streamingScenarios
	}
	if len(words) < 1 || len(words) > 2 {
		fmt.Fprintln(os.Stderr, "usage: interop-go [--streaming] URL [SERVER_BINARY]")
		os.Exit(2)
	}
	r := &run{url: words[0]}
	if len(words) == 2 {
		r.binary = words[1]
	}
	passed, failed, skipped := 0, 0, 0
	for _, s := range chosen {
		if s.needsBinary && r.binary == "" {
			fmt.Printf("skipped %s: no server binary was given\n", s.name)
			skipped++
			continue
		}
		r.failures = 0
		play(r, s.name, s.play)
		if r.failures == 0 {
			passed++
		} else {
			failed++
		}
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped)
	if failed > 0 {
		os.Exit(1)
	}
}
