// Streams and services of another account: on a server with a configuration of its own, in clear.
package main

import (
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
)

const (
	accountRequests = 200
	twoAccounts     = `accounts {
 EXP { users: [ {user: exporter, password: p} ], exports: [ {stream: "news.>"}, {service: "ask.*"} ] }
 IMP { users: [ {user: importer, password: p} ]
  imports: [ {stream: {account: EXP, subject: "news.>"}, prefix: far}
   {service: {account: EXP, subject: "ask.*"}, to: "far.ask.*"} ] }
}
`
)

func accounts(r *run) {
	own, stop := r.guarded(twoAccounts)
	defer stop()
	exporter, err := nats.Connect(own.url, nats.UserInfo("exporter", "p"))
	r.ok(err, "exporter")
	defer exporter.Close()
	importer, err := nats.Connect(own.url, nats.UserInfo("importer", "p"))
	r.ok(err, "importer")
	defer importer.Close()
	r.importedStream(exporter, importer)
	r.importedService(exporter, importer)
}

func (r *run) importedStream(exporter, importer *nats.Conn) {
	near, far := r.subscribe(importer, "news.*", ""), r.subscribe(importer, "far.news.*", "")
	r.flush(importer)
	message := &nats.Msg{Subject: "news.a", Data: []byte("first"), Header: nats.Header{"k": []string{"v"}}}
	r.ok(exporter.PublishMsg(message), "publish")
	r.ok(exporter.Publish("news.b", []byte("second")), "publish")
	r.flush(exporter)
	first := r.expect(far, "far.news.a", "first")
	r.must(first.Header.Get("k") == "v", "headers %v", first.Header)
	r.expect(far, "far.news.b", "second")
	r.quiet(near)
}

func (r *run) importedService(exporter, importer *nats.Conn) {
	informed := make(chan bool, accountRequests)
	_, err := exporter.Subscribe("ask.*", func(request *nats.Msg) {
		informed <- request.Header.Get("Nats-Request-Info") != ""
		request.Respond([]byte(request.Subject + " " + string(request.Data)))
	})
	r.ok(err, "subscribe")
	r.flush(exporter)
	for number := 0; number < accountRequests; number++ {
		reply, err := importer.Request(fmt.Sprintf("far.ask.%d", number), []byte("?"), waitFor)
		r.ok(err, "request")
		r.must(string(reply.Data) == fmt.Sprintf("ask.%d ?", number), "got %q", reply.Data)
		r.must(<-informed, "a service does not learn who asks")
	}
	_, err = importer.Request("ask.x", nil, waitFor)
	r.must(errors.Is(err, nats.ErrNoResponders), "expected no responders, got %v", err)
}
