-- Store one event once: its new id, or NULL if it is there, or was and left a tombstone. One statement, one transaction.
-- A function, because the time it may wait for a lock must not cost the receipt statements of its own: with the SET
-- clause, what is set inside ends with the function (PostgreSQL, CREATE FUNCTION, Notes).
CREATE OR REPLACE FUNCTION queues_receive(
    p_wait_ms int, p_key text, p_provider text, p_event_id text, p_kind text, p_source text, p_payload bytea,
    p_occurred_at timestamptz, p_api_version text, p_livemode bool, p_account text, p_object_id text, p_lane text,
    p_thin bool, p_snapshot_event text, p_signed_at timestamptz, p_signed_with text, p_origin text
) RETURNS bigint LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    made bigint;
BEGIN
    PERFORM set_config('lock_timeout', p_wait_ms::text, true);
    INSERT INTO queues_webhookevent (
        idempotency_key, provider, event_id, kind, source, payload, occurred_at, api_version, livemode, account,
        object_id, lane, thin, snapshot_event, signed_at, signed_with, origin
    )
    SELECT
        p_key, p_provider, p_event_id, p_kind, p_source, p_payload, p_occurred_at, p_api_version, p_livemode, p_account,
        p_object_id, p_lane, p_thin, p_snapshot_event, p_signed_at, p_signed_with, p_origin
    WHERE NOT EXISTS (SELECT 1 FROM queues_tombstone s WHERE s.queue = 'webhook' AND s.key = p_key)
    ON CONFLICT (idempotency_key) DO NOTHING
    RETURNING id INTO made;
    RETURN made;
END
$$;
