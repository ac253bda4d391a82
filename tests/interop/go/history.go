// A publisher and a durable subscriber that go on while leaders of a cluster die: `interop-go --history URLS NAME`. What
// happens is printed, a line each, and judged by tests/interop/cluster, which says on stdin what comes next; at the end of
// stdin all is closed.
//
// Prints: ready; acknowledged N; failed N REASON (N may be stored or not); delivered DURABLE SEQUENCE N 0|1 (1: flagged as
// redelivered), before it is acknowledged; resumed; stopped; replayed SEQUENCE N 0|1. Reads: resume (the subscriber is
// closed, and opened again by its name), stop (publishing), replay (all, by a new client).
package main

import (
	"bufio"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go"
)

const (
	historyWindow  = 16              // publishes that wait for their acknowledgement
	historyAhead   = 200             // acknowledged publishes in front of the slower durable
	historyAckWait = 1 * time.Second // then a publish has failed
	historyAgain   = 1 * time.Second // then a delivery is repeated; the least that the client takes
)

// Of the durable subscriptions; with one in flight, what comes for the first time comes in order whatever happens.
var historyDurables = []struct {
	name     string
	inFlight int
}{{"one", 1}, {"many", 64}}

type history struct {
	r            *run
	name         string
	subscriber   stan.Conn
	others       []stan.Conn
	acknowledged atomic.Uint64 // publishes
	passed       atomic.Uint64 // the last sequence that the durable with one in flight has had
	stopping     atomic.Bool
}

func say(format string, arguments ...any) {
	fmt.Printf(format+"\n", arguments...)
}

// connect opens a client that looks for another server for as long as it takes, and asks again where nobody answers: its
// first request has one try, and there may be no leader at that moment.
func (h *history) connect(client string) stan.Conn {
	plain, err := nats.Connect(h.r.url, nats.ReconnectWait(50*time.Millisecond), nats.ReconnectJitter(0, 0),
		nats.MaxReconnects(-1))
	h.r.ok(err, "connect")
	for started := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		connection, err := stan.Connect(clusterID, h.name+"-"+client, stan.NatsConn(plain),
			stan.Pings(streamingPing, streamingPings), stan.PubAckWait(historyAckWait),
			stan.SetConnectionLostHandler(func(_ stan.Conn, err error) {
				fmt.Fprintf(os.Stderr, "%s: connection lost: %v\n", client, err)
				os.Exit(1)
			}))
		if err == nil {
			return connection
		}
		h.r.must(time.Since(started) < startWithin, "connect %s: %v", client, err)
	}
}

func (h *history) subscribe() {
	h.subscriber = h.connect("subscriber")
	for _, durable := range historyDurables {
		_, err := h.subscriber.Subscribe(h.name, func(m *stan.Msg) {
			say("delivered %s %d %s %d", durable.name, m.Sequence, m.Data, flag(m.Redelivered))
			if durable.inFlight == 1 {
				h.passed.Store(max(h.passed.Load(), m.Sequence))
			}
			// The one that is lost on the way, or with its connection, is a delivery that comes again.
			_ = m.Ack()
		}, stan.DurableName(durable.name), stan.MaxInflight(durable.inFlight), stan.SetManualAckMode(),
			stan.AckWait(historyAgain), stan.DeliverAllAvailable())
		h.r.ok(err, "subscribe "+durable.name)
	}
}

func flag(condition bool) int {
	if condition {
		return 1
	}
	return 0
}

// publish publishes numbers until it is told to stop, and returns when each has been acknowledged or has failed.
func (h *history) publish(publisher stan.Conn) {
	slots := make(chan struct{}, historyWindow)
	for number := 1; !h.stopping.Load(); {
		if h.acknowledged.Load() >= h.passed.Load()+historyAhead {
			time.Sleep(time.Millisecond)
			continue
		}
		slots <- struct{}{}
		mine := number
		number++
		done := func(_ string, err error) {
			if err == nil {
				h.acknowledged.Add(1)
				say("acknowledged %d", mine)
			} else {
				say("failed %d %v", mine, err)
			}
			<-slots
		}
		if _, err := publisher.PublishAsync(h.name, fmt.Appendf(nil, "%d", mine), done); err != nil {
			done("", err)
		}
	}
	for range historyWindow {
		slots <- struct{}{}
	}
}

func (h *history) replay() {
	reader := h.connect("reader")
	h.others = append(h.others, reader)
	_, err := reader.Subscribe(h.name, func(m *stan.Msg) {
		say("replayed %d %s %d", m.Sequence, m.Data, flag(m.Redelivered))
	}, stan.DeliverAllAvailable())
	h.r.ok(err, "subscribe")
}

// playHistory ends the program.
func playHistory(urls, name string) {
	h := &history{r: &run{url: urls}, name: name}
	defer func() {
		if reason := recover(); reason != nil {
			fmt.Fprintln(os.Stderr, reason)
			os.Exit(1)
		}
		os.Exit(0)
	}()
	h.subscribe()
	publisher := h.connect("publisher")
	h.others = append(h.others, publisher)
	stopped := make(chan bool)
	go func() {
		h.publish(publisher)
		stopped <- true
	}()
	say("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		switch lines.Text() {
		case "resume":
			h.r.ok(h.subscriber.Close(), "close")
			h.subscribe()
			say("resumed")
		case "stop":
			h.stopping.Store(true)
			<-stopped
			say("stopped")
		case "replay":
			h.replay()
		}
	}
	for _, client := range append(h.others, h.subscriber) {
		h.r.ok(client.Close(), "close")
	}
}
