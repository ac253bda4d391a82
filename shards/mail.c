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
        return;
    }
}
