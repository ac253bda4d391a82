/* shards/mail.c - letting go of mail that nobody takes. */
#include "shards/mail.h"

#include <string.h>
#include <unistd.h>

void mail_release(const uint8_t *bytes, struct block_pool *pool)
{
    switch ((enum mail_kind)bytes[0]) {
    case MAIL_MESSAGE: {
        struct mail_message mail;
        memcpy(&mail, bytes, sizeof mail);
        block_release(pool, mail.block);
        return;
    }
    case MAIL_INTEREST: {
        struct mail_interest mail;
        memcpy(&mail, bytes, sizeof mail);
        block_release(pool, mail.block);
        return;
    }
    case MAIL_PASSWORD: {
        struct mail_password mail;
        memcpy(&mail, bytes, sizeof mail);
        block_release(pool, mail.block);
        return;
    }
    case MAIL_CONNECTION: {
        struct mail_connection mail;
        memcpy(&mail, bytes, sizeof mail);
        close(mail.fd);
        return;
    }
    case MAIL_REPORT: {
        struct mail_report mail;
        memcpy(&mail, bytes, sizeof mail);
        block_release(pool, mail.block);
        return;
    }
    case MAIL_ROUTE: {
        struct mail_route mail;
        memcpy(&mail, bytes, sizeof mail);
        close(mail.fd);
        block_release(pool, mail.greeting);
        return;
    }
    case MAIL_ROUTE_SAID: {
        struct mail_route_said mail;
        memcpy(&mail, bytes, sizeof mail);
        block_release(pool, mail.block);
        return;
    }
    case MAIL_ROUTE_BYTES: {
        struct mail_route_bytes mail;
        memcpy(&mail, bytes, sizeof mail);
        block_release(pool, mail.block);
        return;
    }
    case MAIL_GATEWAY_INTEREST:
    case MAIL_REMOTE_INTEREST: {
        struct mail_remote_interest mail;
        memcpy(&mail, bytes, sizeof mail);
        block_release(pool, mail.block);
        return;
    }
    case MAIL_GATEWAY_MESSAGE:
    case MAIL_REMOTE_PASSED:
    case MAIL_REMOTE_MESSAGE: {
        struct mail_remote_message mail;
        memcpy(&mail, bytes, sizeof mail);
        block_release(pool, mail.block);
        return;
    }
    case MAIL_CONNECT_URLS: {
        struct mail_connect_urls mail;
        memcpy(&mail, bytes, sizeof mail);
        block_release(pool, mail.block);
        return;
    }
    case MAIL_SYSTEM_REQUEST: {
        struct mail_system_request mail;
        memcpy(&mail, bytes, sizeof mail);
        block_release(pool, mail.block);
        return;
    }
    case MAIL_SYSTEM_PUBLISH: {
        struct mail_system_publish mail;
        memcpy(&mail, bytes, sizeof mail);
        block_release(pool, mail.block);
        return;
    }
    case MAIL_SYSTEM_EVENT: {
        struct mail_system_event mail;
        memcpy(&mail, bytes, sizeof mail);
        block_release(pool, mail.block);
        return;
    }
    case MAIL_RESOLVE:
    case MAIL_RESOLVED: {
        struct mail_resolve mail;
        memcpy(&mail, bytes, sizeof mail);
        block_release(pool, mail.block);
        return;
    }
    case MAIL_PEER_ASK: {
        struct mail_peer_ask mail;
        memcpy(&mail, bytes, sizeof mail);
        block_release(pool, mail.block);
        return;
    }
    case MAIL_ACCOUNT_ASK:
    case MAIL_ACCOUNT_NAMED: {
        struct mail_account_name mail;
        memcpy(&mail, bytes, sizeof mail);
        block_release(pool, mail.block);
        return;
    }
    case MAIL_RESPONDER: {
        struct mail_responder mail;
        memcpy(&mail, bytes, sizeof mail);
        block_release(pool, mail.block);
        return;
    }
    case MAIL_PUBLISH: {
        struct mail_publish mail;
        memcpy(&mail, bytes, sizeof mail);
        block_release(pool, mail.block);
        return;
    }
    case MAIL_ROUTE_ANSWER:
    case MAIL_ROUTE_CLOSED:
    case MAIL_REMOTE:
    case MAIL_GATEWAY:
    case MAIL_GATEWAY_RTT:
    case MAIL_SHORT_MESSAGE:
    case MAIL_ACCOUNT_COUNT:
    case MAIL_STALL:
    case MAIL_CONNECTION_CLOSED:
    case MAIL_PASSWORD_CHECKED:
    case MAIL_SNAPSHOT:
    case MAIL_SNAPSHOT_RELEASED:
    case MAIL_LAME_DUCK:
    case MAIL_CLOSE_CLIENTS:
    case MAIL_STOP:
    case MAIL_STOPPED:
    case MAIL_REPORT_ASK:
    case MAIL_SYSTEM_SERVICE:
    case MAIL_SYSTEM_SERVICES:
    case MAIL_SYSTEM_SERVED:
    case MAIL_SYSTEM_PUBLISHED:
    case MAIL_SYSTEM_ACCOUNT:
    case MAIL_SYSTEM_CLIENT:
    case MAIL_STAPLE_PASSED:
    case MAIL_PEER_CHECKED:
        return;
    }
}
