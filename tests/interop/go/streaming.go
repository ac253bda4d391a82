// What is checked of NATS Streaming, by stan.go: the scenarios of `interop-go --streaming`. Channels are named after
// their scenario, so that all of them can use one server.
package main

import (
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go"
)

const (
	clusterID       = "test-cluster"
	asyncPublishes  = 500
	groupMembers    = 3
	groupMessages   = 60
	redeliverAfter  = 2 * time.Second
	betweenMessages = 700 * time.Millisecond // a subscription by time has as long as that to reach the server
	beforeKill      = 40
	afterKill       = 20
	streamingPing   = 1   // seconds
	streamingPings  = 100 // unanswered ones until a client gives up: the server is away for a moment
	reconnectsAtAll = 300
)

var streamingScenarios = []scenario{
	{"publish", streamPublish, false},
	{"start_positions", streamStartPositions, false},
	{"durable", streamDurable, false},
	{"queue_group", streamQueueGroup, false},
	{"durable_queue_group", streamDurableQueueGroup, false},
	{"redelivery", streamRedelivery, false},
	{"clients", streamClients, false},
	{"restart", streamRestart, true},
}

// stan opens a streaming connection that the scenario closes.
func (r *run) stan(client string, options ...stan.Option) stan.Conn {
	connection, err := stan.Connect(clusterID, client, append([]stan.Option{stan.NatsURL(r.url)}, options...)...)
	r.ok(err, "connect "+client)
	return connection
}

// ready returns when streaming is served, which may be later than when the port accepts.
func (r *run) ready() {
	for started := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		connection, err := stan.Connect(clusterID, "go-ready", stan.NatsURL(r.url))
		if err == nil {
			connection.Close()
			return
		}
		r.must(time.Since(started) < startWithin, "not ready: %v", err)
	}
}

func (r *run) store(connection stan.Conn, channel string, from, to int) {
	for i := from; i <= to; i++ {
		r.ok(connection.Publish(channel, fmt.Appendf(nil, "%d", i)), "publish")
	}
}

// listen is a subscription whose messages wait to be taken one by one.
type listener struct {
	stan.Subscription
	messages chan *stan.Msg
}

func (r *run) listen(connection stan.Conn, channel, group string, options ...stan.SubscriptionOption) *listener {
	l := &listener{messages: make(chan *stan.Msg, 4096)}
	keep := func(m *stan.Msg) { l.messages <- m }
	var err error
	if group == "" {
		l.Subscription, err = connection.Subscribe(channel, keep, options...)
	} else {
		l.Subscription, err = connection.QueueSubscribe(channel, group, keep, options...)
	}
	r.ok(err, "subscribe "+channel)
	return l
}

func (r *run) take(l *listener) *stan.Msg {
	select {
	case m := <-l.messages:
		return m
	case <-time.After(waitFor):
		r.must(false, "no message within %v", waitFor)
		return nil
	}
}

// acknowledge does so where the subscription leaves it to the caller. Where a subscription is closed at once behind its
// last message it has to be: the client's own acknowledgement follows the callback, and may come behind the close.
func (r *run) acknowledge(m *stan.Msg) {
	if err := m.Ack(); err != stan.ErrManualAck {
		r.ok(err, "ack")
	}
}

// sequence takes messages, compares their numbers and payloads, which are equal as store() writes them, and acknowledges.
func (r *run) sequence(l *listener, from, to int) {
	for i := from; i <= to; i++ {
		m := r.take(l)
		r.must(m.Sequence == uint64(i) && string(m.Data) == fmt.Sprint(i) && !m.Redelivered,
			"got %d %q (redelivered: %v), expected %d", m.Sequence, m.Data, m.Redelivered, i)
		r.acknowledge(m)
	}
}

func (r *run) silent(l *listener) {
	select {
	case m := <-l.messages:
		r.must(false, "message %d came that should not", m.Sequence)
	case <-time.After(quietFor):
	}
}

func streamPublish(r *run) {
	publisher, subscriber := r.stan("go-publisher"), r.stan("go-subscriber")
	defer publisher.Close()
	defer subscriber.Close()
	l := r.listen(subscriber, "go.publish", "")
	r.store(publisher, "go.publish", 1, 3)

	var lock sync.Mutex
	waiting := map[string]bool{}
	done := make(chan error, asyncPublishes)
	acknowledged := func(guid string, err error) {
		lock.Lock()
		defer lock.Unlock()
		if !waiting[guid] && err == nil {
			err = fmt.Errorf("an acknowledgement of %s, which nobody waits for", guid)
		}
		delete(waiting, guid)
		done <- err
	}
	for i := 4; i < 4+asyncPublishes; i++ {
		lock.Lock()
		guid, err := publisher.PublishAsync("go.publish", fmt.Appendf(nil, "%d", i), acknowledged)
		waiting[guid] = true
		lock.Unlock()
		r.ok(err, "publish")
	}
	for range asyncPublishes {
		r.ok(<-done, "acknowledgement")
	}
	r.sequence(l, 1, 3+asyncPublishes)
	err := publisher.Publish("go.*", nil)
	r.must(err != nil && err.Error() == "stan: invalid publish request", "a publish to a wildcard got %v", err)
}

func streamStartPositions(r *run) {
	connection := r.stan("go-positions")
	defer connection.Close()
	channel := "go.positions"
	r.store(connection, channel, 1, 3)
	time.Sleep(20 * time.Millisecond) // these put a time between the messages; nothing is waited for
	between := time.Now()
	time.Sleep(betweenMessages)
	r.store(connection, channel, 4, 6)
	rows := []struct {
		name  string
		start stan.SubscriptionOption
		first int
	}{
		{"delta", stan.StartAtTimeDelta(time.Since(between)), 4},
		{"all", stan.DeliverAllAvailable(), 1},
		{"last", stan.StartWithLastReceived(), 6},
		{"sequence", stan.StartAtSequence(3), 3},
		{"time", stan.StartAtTime(between), 4},
		{"long ago", stan.StartAtTimeDelta(time.Hour), 1},
	}
	listeners := []*listener{}
	for _, row := range rows {
		l := r.listen(connection, channel, "", row.start)
		r.sequence(l, row.first, 6)
		listeners = append(listeners, l)
	}
	listeners = append(listeners, r.listen(connection, channel, ""))
	r.store(connection, channel, 7, 7)
	for _, l := range listeners {
		r.sequence(l, 7, 7)
		r.silent(l)
	}
}

func streamDurable(r *run) {
	connection := r.stan("go-durable")
	channel, manual := "go.durable", stan.SetManualAckMode()
	r.store(connection, channel, 1, 4)
	l := r.listen(connection, channel, "", manual, stan.DurableName("d"), stan.DeliverAllAvailable())
	r.sequence(l, 1, 4)
	r.ok(l.Close(), "close the subscription")
	r.store(connection, channel, 5, 6)
	l = r.listen(connection, channel, "", manual, stan.DurableName("d"), stan.DeliverAllAvailable())
	r.sequence(l, 5, 6)
	_, err := connection.Subscribe(channel, func(*stan.Msg) {}, stan.DurableName("d"))
	r.must(err != nil && err.Error() == "stan: duplicate durable registration", "a second one got %v", err)

	r.ok(connection.Close(), "close the connection")
	connection = r.stan("go-durable")
	defer connection.Close()
	r.store(connection, channel, 7, 7)
	l = r.listen(connection, channel, "", manual, stan.DurableName("d"))
	r.sequence(l, 7, 7)
	r.ok(l.Unsubscribe(), "unsubscribe")
	l = r.listen(connection, channel, "", manual, stan.DurableName("d"), stan.DeliverAllAvailable())
	r.sequence(l, 1, 7)
}

// each notes every number once over all listeners.
func (r *run) each(listeners []*listener, from, to int) {
	seen := map[uint64]bool{}
	for i := from; i <= to; i++ {
		var m *stan.Msg
		select {
		case m = <-listeners[0].messages:
		case m = <-listeners[1].messages:
		case m = <-listeners[2].messages:
		case <-time.After(waitFor):
			r.must(false, "%d of %d messages came", len(seen), to-from+1)
		}
		r.must(!seen[m.Sequence], "%d came twice", m.Sequence)
		r.must(m.Sequence >= uint64(from) && m.Sequence <= uint64(to), "%d came", m.Sequence)
		seen[m.Sequence] = true
		r.acknowledge(m)
	}
	for _, l := range listeners {
		r.silent(l)
	}
}

func streamQueueGroup(r *run) {
	publisher := r.stan("go-group-publisher")
	defer publisher.Close()
	listeners := []*listener{}
	for i := range groupMembers {
		connection := r.stan(fmt.Sprintf("go-member-%d", i))
		defer connection.Close()
		listeners = append(listeners, r.listen(connection, "go.group", "workers", stan.MaxInflight(5)))
	}
	plain := r.listen(publisher, "go.group", "")
	r.store(publisher, "go.group", 1, groupMessages)
	r.each(listeners, 1, groupMessages)
	r.sequence(plain, 1, groupMessages)
}

func streamDurableQueueGroup(r *run) {
	connection := r.stan("go-durable-group")
	defer connection.Close()
	channel := "go.durable.group"
	open := func() []*listener {
		listeners := []*listener{}
		for range groupMembers {
			listeners = append(listeners, r.listen(connection, channel, "workers", stan.SetManualAckMode(),
				stan.DurableName("d"), stan.DeliverAllAvailable()))
		}
		return listeners
	}
	r.store(connection, channel, 1, 10)
	listeners := open()
	r.each(listeners, 1, 10)
	for _, l := range listeners {
		r.ok(l.Close(), "close")
	}
	r.store(connection, channel, 11, 20)
	listeners = open()
	r.each(listeners, 11, 20)
	for _, l := range listeners {
		r.ok(l.Unsubscribe(), "unsubscribe")
	}
	r.each(open(), 1, 20)
}

func streamRedelivery(r *run) {
	connection := r.stan("go-redelivery")
	defer connection.Close()
	channel := "go.redelivery"
	l := r.listen(connection, channel, "", stan.SetManualAckMode(), stan.AckWait(redeliverAfter), stan.MaxInflight(4))
	r.store(connection, channel, 1, 6)
	messages := []*stan.Msg{}
	for range 4 {
		messages = append(messages, r.take(l))
	}
	r.silent(l) // four are out and none is acknowledged
	r.ok(messages[0].Ack(), "ack")
	r.ok(messages[2].Ack(), "ack")
	r.sequence(l, 5, 6)
	for _, sequence := range []uint64{2, 4} {
		m := r.take(l)
		r.must(m.Redelivered && m.RedeliveryCount == 1 && m.Sequence == sequence,
			"got %d (redelivered: %v, %d times), expected %d again", m.Sequence, m.Redelivered, m.RedeliveryCount, sequence)
		r.acknowledge(m)
	}
	r.store(connection, channel, 7, 7)
	r.sequence(l, 7, 7)
}

func streamClients(r *run) {
	first := r.stan("go-same")
	_, err := stan.Connect(clusterID, "go-same", stan.NatsURL(r.url))
	r.must(err != nil && err.Error() == "stan: clientID already registered", "the second one got %v", err)
	l := r.listen(first, "go.clients", "")
	r.ok(l.Unsubscribe(), "unsubscribe")
	r.must(l.Unsubscribe() == stan.ErrBadSubscription, "unsubscribed twice")
	r.store(first, "go.clients", 1, 1)
	r.silent(l)
	r.ok(first.Close(), "close")
	r.must(first.Publish("go.clients", nil) == stan.ErrConnectionClosed, "a publish after close was taken")
	second := r.stan("go-same")
	r.ok(second.Close(), "close")
	_, err = stan.Connect("no-such-cluster", "go-same", stan.NatsURL(r.url), stan.ConnectWait(quietFor))
	r.must(err != nil, "a cluster that is not there answers")
}

// The server is killed and started again on its port and its folder, while publishers and subscribers stay.
func streamRestart(r *run) {
	port, err := freePort()
	r.ok(err, "port")
	folder, err := os.MkdirTemp("", "interop-go-")
	r.ok(err, "folder")
	defer os.RemoveAll(folder)
	words := []string{"-st", "FILE", "-dir", folder}
	server, err := startServer(r.binary, port, words...)
	r.ok(err, "server")
	defer func() { killServer(server) }()
	r = &run{url: fmt.Sprintf("nats://127.0.0.1:%d", port), binary: r.binary}
	r.ready()

	back := make(chan bool, reconnectsAtAll)
	connection, err := nats.Connect(r.url, nats.ReconnectWait(50*time.Millisecond), nats.ReconnectJitter(0, 0),
		nats.MaxReconnects(reconnectsAtAll), nats.ReconnectHandler(func(*nats.Conn) { back <- true }))
	r.ok(err, "connect")
	defer connection.Close()
	client := r.stan("go-restart", stan.NatsConn(connection), stan.Pings(streamingPing, streamingPings))
	channel := "go.restart"
	plain := r.listen(client, channel, "")
	durable := r.listen(client, channel, "", stan.DurableName("d"), stan.SetManualAckMode(), stan.AckWait(redeliverAfter))
	closed := r.listen(client, channel, "", stan.DurableName("closed"), stan.SetManualAckMode())
	r.store(client, channel, 1, beforeKill)
	r.sequence(plain, 1, beforeKill)
	r.sequence(closed, 1, beforeKill)
	for i := 1; i <= beforeKill; i++ {
		if m := r.take(durable); i != 7 {
			r.ok(m.Ack(), "ack")
		}
	}
	r.ok(closed.Close(), "close")
	// What was acknowledged before that answer is stored when this is.
	r.store(client, channel+".behind", 1, 1)

	killServer(server)
	server, err = startServer(r.binary, port, words...)
	r.ok(err, "server")
	select {
	case <-back:
	case <-time.After(reconnectWithin):
		r.must(false, "no reconnect within %v", reconnectWithin)
	}
	r.ready()
	r.store(client, channel, beforeKill+1, beforeKill+afterKill)
	again := false
	for next := uint64(beforeKill + 1); next <= beforeKill+afterKill || !again; {
		m := r.take(durable)
		r.ok(m.Ack(), "ack")
		if m.Redelivered {
			r.must(m.Sequence == 7, "%d came again", m.Sequence)
			again = true
			continue
		}
		r.must(m.Sequence == next, "got %d, expected %d", m.Sequence, next)
		next++
	}
	r.sequence(r.listen(client, channel, "", stan.DurableName("closed")), beforeKill+1, beforeKill+afterKill)
	r.sequence(r.listen(client, channel, "", stan.DeliverAllAvailable()), 1, beforeKill+afterKill)
	r.sequence(plain, beforeKill+1, beforeKill+afterKill)
	r.ok(client.Close(), "close")
}
