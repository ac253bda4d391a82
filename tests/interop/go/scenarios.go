// What is checked. Publisher and subscriber are different connections, so that a server of many threads has them on
// different ones, and a flush of the subscriber stands between SUB and the first publish.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	members         = 4
	queueMessages   = 400
	requests        = 200
	drainMessages   = 2000
	mixedBytes      = 10 << 20
	mixedUnread     = 64 // messages sent ahead of the comparison
	maxPayload      = 1 << 20
	reconnectWithin = 15 * time.Second
	afterReconnect  = 100
)

type scenario struct {
	name        string
	play        func(*run)
	needsBinary bool
}

var scenarios = []scenario{
	{"publish_subscribe", publishSubscribe, false},
	{"auto_unsubscribe", autoUnsubscribe, false},
	{"queue_groups", queueGroups, false},
	{"request_reply", requestReply, false},
	{"no_responders", noResponders, false},
	{"headers", headers, false},
	{"drain", drain, false},
	{"mixed_bytes", mixedMessages, false},
	{"reconnect", reconnect, true},
	{"logins", loginsAndPermissions, true},
	{"accounts", accounts, true},
}

func publishSubscribe(r *run) {
	publisher, subscriber := r.connect(), r.connect()
	defer publisher.Close()
	defer subscriber.Close()
	literal := r.subscribe(subscriber, "interop.go.orders.eu", "")
	star := r.subscribe(subscriber, "interop.go.*.eu", "")
	tail := r.subscribe(subscriber, "interop.go.>", "")
	r.flush(subscriber)

	for _, m := range [][2]string{{"orders.eu", "one"}, {"bills.eu", "two"}, {"bills.eu.late", ""}} {
		r.ok(publisher.Publish("interop.go."+m[0], []byte(m[1])), "publish")
	}
	r.ok(publisher.Publish("interop.go", []byte("matches nothing")), "publish")
	r.flush(publisher)
	r.expect(literal, "interop.go.orders.eu", "one")
	r.expect(star, "interop.go.orders.eu", "one")
	r.expect(star, "interop.go.bills.eu", "two")
	r.expect(tail, "interop.go.orders.eu", "one")
	r.expect(tail, "interop.go.bills.eu", "two")
	r.expect(tail, "interop.go.bills.eu.late", "")

	r.ok(star.Unsubscribe(), "unsubscribe")
	r.flush(subscriber)
	before := subscriber.Stats().InMsgs
	r.ok(publisher.Publish("interop.go.orders.eu", []byte("three")), "publish")
	r.flush(publisher)
	r.flush(subscriber)
	r.expect(literal, "interop.go.orders.eu", "three")
	r.expect(tail, "interop.go.orders.eu", "three")
	r.quiet(literal)
	r.quiet(tail)
	r.must(subscriber.Stats().InMsgs == before+2, "a message came for a subscription that was gone")
}

func autoUnsubscribe(r *run) {
	publisher, subscriber := r.connect(), r.connect()
	defer publisher.Close()
	defer subscriber.Close()
	limited := r.subscribe(subscriber, "interop.go.limited", "")
	r.ok(limited.AutoUnsubscribe(3), "auto unsubscribe")
	unlimited := r.subscribe(subscriber, "interop.go.limited", "")
	r.flush(subscriber)
	for i := 0; i < 6; i++ {
		r.ok(publisher.Publish("interop.go.limited", []byte(strconv.Itoa(i))), "publish")
	}
	r.flush(publisher)
	for i := 0; i < 6; i++ {
		if i < 3 {
			r.expect(limited, "interop.go.limited", strconv.Itoa(i))
		}
		r.expect(unlimited, "interop.go.limited", strconv.Itoa(i))
	}
	r.flush(subscriber)
	r.must(subscriber.Stats().InMsgs == 9, "the server sent %d messages, expected 9", subscriber.Stats().InMsgs)
}

// Every message reaches one member of the group and the plain subscriber; no member stays without.
func queueGroups(r *run) {
	publisher := r.connect()
	defer publisher.Close()
	var group [members]*nats.Subscription
	var plain *nats.Subscription
	var connections [members]*nats.Conn
	for i := range group {
		connections[i] = r.connect()
		defer connections[i].Close()
		group[i] = r.subscribe(connections[i], []string{"interop.go.work.>", "interop.go.work.*"}[i%2], "workers")
		if i == 0 {
			plain = r.subscribe(connections[i], "interop.go.work.a", "")
		}
		r.flush(connections[i])
	}
	for i := 0; i < queueMessages; i++ {
		r.ok(publisher.Publish("interop.go.work.a", []byte(strconv.Itoa(i))), "publish")
	}
	r.flush(publisher)
	for i := 0; i < queueMessages; i++ {
		r.expect(plain, "interop.go.work.a", strconv.Itoa(i))
	}
	var seen [queueMessages]int
	for i, member := range group {
		r.flush(connections[i])
		last, taken := -1, 0
		for {
			message, err := member.NextMsg(quietFor)
			if err == nats.ErrTimeout {
				break
			}
			r.ok(err, "next message")
			number, err := strconv.Atoi(string(message.Data))
			r.must(err == nil && number > last && number < queueMessages, "%q after %d", message.Data, last)
			seen[number]++
			last = number
			taken++
		}
		r.must(taken > 0, "member %d got nothing", i)
	}
	for number, count := range seen {
		r.must(count == 1, "message %d was delivered %d times", number, count)
	}
}

func requestReply(r *run) {
	requester, service := r.connect(), r.connect()
	defer requester.Close()
	defer service.Close()
	_, err := service.Subscribe("interop.go.service", func(request *nats.Msg) {
		request.Respond(append([]byte("re: "), request.Data...))
	})
	r.ok(err, "subscribe")
	r.flush(service)
	for i := 0; i < requests; i++ {
		question := fmt.Sprintf("question %d", i)
		reply, err := requester.Request("interop.go.service", []byte(question), waitFor)
		r.ok(err, question)
		r.must(string(reply.Data) == "re: "+question, "got %q for %q", reply.Data, question)
	}
}

// A request that nobody serves is answered at once, not by running out of time.
func noResponders(r *run) {
	requester, service := r.connect(), r.connect()
	defer requester.Close()
	defer service.Close()
	started := time.Now()
	_, err := requester.Request("interop.go.nobody", nil, waitFor)
	r.must(errors.Is(err, nats.ErrNoResponders), "expected no responders, got %v", err)
	r.must(time.Since(started) < waitFor/2, "no responders took %v", time.Since(started))

	subscription, err := service.Subscribe("interop.go.nobody", func(request *nats.Msg) { request.Respond(nil) })
	r.ok(err, "subscribe")
	r.flush(service)
	_, err = requester.Request("interop.go.nobody", nil, waitFor)
	r.ok(err, "request")
	r.ok(subscription.Unsubscribe(), "unsubscribe")
	r.flush(service)
	_, err = requester.Request("interop.go.nobody", nil, waitFor)
	r.must(errors.Is(err, nats.ErrNoResponders), "expected no responders, got %v", err)
}

func headers(r *run) {
	publisher, subscriber := r.connect(), r.connect()
	defer publisher.Close()
	defer subscriber.Close()
	subscription := r.subscribe(subscriber, "interop.go.headers", "")
	r.flush(subscriber)
	for _, payload := range []string{"", "hello"} {
		message := nats.NewMsg("interop.go.headers")
		message.Reply = "interop.go.reply"
		message.Data = []byte(payload)
		message.Header.Set("Trace-Id", "42")
		message.Header["lower-case"] = []string{"a: b  c"}
		message.Header.Add("Many", "first")
		message.Header.Add("Many", "second")
		r.ok(publisher.PublishMsg(message), "publish")
		r.flush(publisher)
		got := r.expect(subscription, "interop.go.headers", payload)
		r.must(got.Reply == "interop.go.reply", "reply %q", got.Reply)
		r.must(len(got.Header) == 3 && fmt.Sprint(got.Header) == fmt.Sprint(message.Header), "headers %v", got.Header)
	}
	r.ok(publisher.Publish("interop.go.headers", []byte("none")), "publish")
	r.flush(publisher)
	r.must(len(r.expect(subscription, "interop.go.headers", "none").Header) == 0, "headers out of nowhere")
}

// A drained subscription hands over all that was published before, and gets nothing more; a drained connection
// closes by itself, and what it published before arrives.
func drain(r *run) {
	publisher, subscriber := r.connect(), r.connect()
	defer publisher.Close()
	defer subscriber.Close()
	got := make(chan string, drainMessages+1)
	_, err := subscriber.Subscribe("interop.go.drain", func(message *nats.Msg) { got <- string(message.Data) })
	r.ok(err, "subscribe")
	r.flush(subscriber)
	witness := r.subscribe(publisher, "interop.go.last", "")
	r.flush(publisher)
	for i := 0; i < drainMessages; i++ {
		r.ok(publisher.Publish("interop.go.drain", []byte(strconv.Itoa(i))), "publish")
	}
	r.flush(publisher)
	r.ok(subscriber.Publish("interop.go.last", []byte("bye")), "publish")
	r.ok(subscriber.Drain(), "drain")
	r.expect(witness, "interop.go.last", "bye")
	for started := time.Now(); !subscriber.IsClosed() && time.Since(started) < waitFor; {
		time.Sleep(5 * time.Millisecond)
	}
	r.must(subscriber.IsClosed(), "the drained connection did not close")
	r.ok(publisher.Publish("interop.go.drain", []byte("too late")), "publish")
	r.flush(publisher)
	r.must(len(got) == drainMessages, "got %d messages of %d", len(got), drainMessages)
	for i := 0; i < drainMessages; i++ {
		text := <-got
		r.must(text == strconv.Itoa(i), "got %q, expected %d", text, i)
	}
}

// Sizes around what servers and kernels round to, small ones more often.
var mixedSizes = []int{0, 1, 16, 127, 128, 512, 1000, 4095, 4096, 8191, 16384, 3, 65535, 65536, 2, 300, 32767,
	100000, 65537, 7, 40000, 262144, 11, 1024, 600, 20000, 2048}

// mixedPayload makes a message's bytes from its number; zero bytes, CR LF and all others occur.
func mixedPayload(number int) []byte {
	size := mixedSizes[number%len(mixedSizes)]
	if number == 100 {
		size = maxPayload
	}
	payload := make([]byte, size)
	state := uint32(number+1) * 2654435761
	for i := range payload {
		state ^= state << 13
		state ^= state >> 17
		state ^= state << 5
		payload[i] = byte(state >> 24)
	}
	return payload
}

// Every third message travels with a header.
func mixedMessages(r *run) {
	publisher, subscriber := r.connect(), r.connect()
	defer publisher.Close()
	defer subscriber.Close()
	subscription := r.subscribe(subscriber, "interop.go.mixed.>", "")
	r.flush(subscriber)
	sent, compared, total := 0, 0, 0
	for total < mixedBytes || compared < sent {
		if total < mixedBytes && sent-compared < mixedUnread {
			message := nats.NewMsg(fmt.Sprintf("interop.go.mixed.%d", sent%7))
			message.Data = mixedPayload(sent)
			if sent%3 == 0 {
				message.Header.Set("Number", strconv.Itoa(sent))
			}
			r.ok(publisher.PublishMsg(message), "publish")
			total += len(message.Data)
			sent++
			continue
		}
		message, err := subscription.NextMsg(waitFor)
		r.ok(err, fmt.Sprintf("message %d", compared))
		r.must(message.Subject == fmt.Sprintf("interop.go.mixed.%d", compared%7), "subject %s", message.Subject)
		r.must(bytes.Equal(message.Data, mixedPayload(compared)), "message %d has other bytes", compared)
		header := ""
		if compared%3 == 0 {
			header = strconv.Itoa(compared)
		}
		r.must(message.Header.Get("Number") == header, "message %d has header %v", compared, message.Header)
		compared++
	}
}

// The server is killed and started again on its port; subscriptions come back, and what was published meanwhile by
// the subscriber's own connection (kept by the client library) arrives.
func reconnect(r *run) {
	port, err := freePort()
	r.ok(err, "port")
	server, err := startServer(r.binary, port)
	r.ok(err, "server")
	defer func() { killServer(server) }()
	r = &run{url: fmt.Sprintf("nats://127.0.0.1:%d", port), binary: r.binary}

	persistent := []nats.Option{nats.ReconnectWait(50 * time.Millisecond), nats.ReconnectJitter(0, 0), nats.MaxReconnects(300)}
	publisher, subscriber := r.connect(persistent...), r.connect(persistent...)
	defer publisher.Close()
	defer subscriber.Close()
	plain := r.subscribe(subscriber, "interop.go.again.*", "")
	queue := r.subscribe(subscriber, "interop.go.again.>", "q")
	gone := r.subscribe(subscriber, "interop.go.again.>", "")
	r.ok(gone.Unsubscribe(), "unsubscribe")
	r.flush(subscriber)
	r.ok(publisher.Publish("interop.go.again.a", []byte("before")), "publish")
	r.expect(plain, "interop.go.again.a", "before")
	r.expect(queue, "interop.go.again.a", "before")

	killServer(server)
	for started := time.Now(); subscriber.IsConnected() && time.Since(started) < waitFor; {
		time.Sleep(time.Millisecond)
	}
	r.must(!subscriber.IsConnected(), "the client has not noticed the loss")
	r.ok(subscriber.Publish("interop.go.again.c", []byte("meanwhile")), "publish while reconnecting")
	server, err = startServer(r.binary, port)
	r.ok(err, "server")
	for _, connection := range []*nats.Conn{publisher, subscriber} {
		for started := time.Now(); connection.Stats().Reconnects == 0 && time.Since(started) < reconnectWithin; {
			time.Sleep(10 * time.Millisecond)
		}
		r.must(connection.Stats().Reconnects > 0, "not reconnected")
	}
	r.expect(plain, "interop.go.again.c", "meanwhile")
	r.expect(queue, "interop.go.again.c", "meanwhile")
	r.flush(subscriber)
	before := subscriber.Stats().InMsgs
	for i := 0; i < afterReconnect; i++ {
		r.ok(publisher.Publish("interop.go.again.b", []byte(strconv.Itoa(i))), "publish")
	}
	r.flush(publisher)
	for i := 0; i < afterReconnect; i++ {
		r.expect(plain, "interop.go.again.b", strconv.Itoa(i))
		r.expect(queue, "interop.go.again.b", strconv.Itoa(i))
	}
	r.flush(subscriber)
	r.must(subscriber.Stats().InMsgs == before+2*afterReconnect, "the server sent more than the subscriptions take")
}
