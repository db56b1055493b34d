-- The grant of `limiter` in one statement, for PostgreSQL; the arithmetic is that of `window`, and a test holds the two together.
-- keys (sorted), lim, len (seconds): one entry a key
-- asked: for each want `flags (1 ahead, 2 hands in a promise), how many keys, their places from 1 …`;
--        a place below 0: the key of that place, where no promise is kept for who is refused
-- answer: [[null, now] granted | [refusing place from 0, when], ...] in the order of the wants, in microseconds since 1970
CREATE OR REPLACE FUNCTION queues_grant(keys text[], lim int[], len int[], asked int[], at timestamptz DEFAULT NULL)
RETURNS jsonb LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off -- a plan made for an empty table is kept
AS $$
DECLARE
  n int := cardinality(keys);
  granted jsonb[]; promised jsonb[]; tail jsonb[] := array_fill('[]'::jsonb, ARRAY[n]); was int[]; kept jsonb; units int;
  now_us bigint; cur bigint[]; used int[]; near int[]; added int[] := array_fill(0, ARRAY[n]);
  held record; at_want int := 1; first_key int; last_key int; ahead bool; ok bool; place int;
  target bigint; last_slot bigint; behind int; leaves bigint; best bigint; best_place int; best_slot bigint; answers text[] := '{}';
BEGIN
  LOOP
    -- Create what is missing, then lock all, in the order of the keys (byte order, as the caller sorted them).
    INSERT INTO queues_ratecounter (key, slots, promises, "limit", window_seconds, used_at)
      SELECT k, '{}', '[]', 0, 0, clock_timestamp() FROM unnest(keys) WITH ORDINALITY AS e(k, i)
      WHERE NOT EXISTS (SELECT 1 FROM queues_ratecounter c WHERE c.key = k) ORDER BY i ON CONFLICT DO NOTHING;
    granted := '{}'; promised := '{}'; was := '{}';
    FOR held IN SELECT c.slots, c.promises, c.window_seconds FROM queues_ratecounter c WHERE c.key = ANY(keys)
                ORDER BY c.key COLLATE "C" FOR UPDATE LOOP
      granted := array_append(granted, held.slots); promised := array_append(promised, held.promises);
      was := array_append(was, held.window_seconds);
    END LOOP;
    EXIT WHEN cardinality(granted) = n; -- the daily cleaning deleted one in between: once more
  END LOOP;
  -- Only now: who waited for a lock must not count into an older slot.
  now_us := extract(epoch FROM COALESCE(at, clock_timestamp())) * 1000000;
  FOR i IN 1..n LOOP
    cur[i] := now_us * 60 / (len[i] * 1000000::bigint); used[i] := 0; near[i] := 0;
    IF was[i] IN (0, len[i]) THEN was[i] := len[i]; END IF;
    IF granted[i] <> '{}' THEN
      SELECT COALESCE(jsonb_object_agg(s, u), '{}'), COALESCE(sum(u), 0) INTO kept, units FROM (
        SELECT LEAST(((s::bigint + 1) * was[i] + len[i] - 1) / len[i] - 1, cur[i]) AS s, sum(u::int)::int AS u
        FROM jsonb_each_text(granted[i]) AS t(s, u) GROUP BY 1) moved WHERE s >= cur[i] - 60;
      granted[i] := kept; used[i] := units;
    END IF;
    IF promised[i] <> '[]' AND (was[i] <> len[i] OR (promised[i]->0->>0)::bigint <= cur[i] + 60) THEN
      SELECT COALESCE(jsonb_agg(jsonb_build_array(s, u) ORDER BY s), '[]'),
             COALESCE(sum(u) FILTER (WHERE s <= cur[i] + 60), 0) INTO kept, units FROM (
        SELECT ((p->>0)::bigint * was[i] + len[i] - 1) / len[i] AS s, sum((p->>1)::int)::int AS u
        FROM jsonb_array_elements(promised[i]) AS p GROUP BY 1) moved WHERE s >= cur[i];
      promised[i] := kept; near[i] := units;
    END IF;
  END LOOP;
  WHILE at_want <= cardinality(asked) LOOP
    ahead := asked[at_want] & 1 = 1; ok := true;
    first_key := at_want + 2; last_key := at_want + 1 + asked[at_want + 1];
    FOR k IN first_key..last_key LOOP
      place := abs(asked[k]);
      IF asked[at_want] & 2 = 2 AND tail[place] <> '[]' THEN
        promised[place] := promised[place] || tail[place]; tail[place] := '[]';
      END IF;
      IF asked[at_want] & 2 = 2 AND (promised[place]->0->>0)::bigint = cur[place] THEN
        units := (promised[place]->0->>1)::int - 1; near[place] := near[place] - 1;
        promised[place] := CASE WHEN units > 0 THEN jsonb_set(promised[place], '{0,1}', to_jsonb(units)) ELSE promised[place] - 0 END;
      END IF;
      ok := ok AND used[place] + CASE WHEN ahead THEN 0 ELSE near[place] END < lim[place];
    END LOOP;
    at_want := last_key + 1;
    IF ok THEN
      FOR k IN first_key..last_key LOOP
        place := abs(asked[k]); used[place] := used[place] + 1; added[place] := added[place] + 1;
      END LOOP;
      answers := array_append(answers, format('[null,%s]', now_us));
      CONTINUE;
    END IF;
    best := -1;
    FOR k IN first_key..last_key LOOP
      place := abs(asked[k]);
      CONTINUE WHEN used[place] + CASE WHEN ahead THEN 0 ELSE near[place] END < lim[place];
      target := cur[place]; behind := 1; leaves := NULL;
      IF lim[place] < 1 THEN leaves := cur[place]; END IF;
      IF NOT ahead AND leaves IS NULL THEN
        target := GREATEST(target, (promised[place]->-1->>0)::bigint, (tail[place]->-1->>0)::bigint);
        FOR j IN 1..jsonb_array_length(tail[place]) + jsonb_array_length(promised[place]) LOOP
          kept := COALESCE(tail[place]->(-j), promised[place]->(jsonb_array_length(tail[place]) - j));
          behind := behind + (kept->>1)::int;
          IF behind > lim[place] THEN leaves := (kept->>0)::bigint; EXIT; END IF;
        END LOOP;
      END IF;
      IF leaves IS NULL THEN
        SELECT s INTO leaves FROM (
          SELECT s, sum(u) OVER (ORDER BY s DESC ROWS UNBOUNDED PRECEDING) AS sofar FROM (
            SELECT s::bigint AS s, u::int AS u FROM jsonb_each_text(granted[place]) AS a(s, u)
            UNION ALL SELECT cur[place], added[place]) taken
        ) q WHERE behind + sofar > lim[place] ORDER BY s DESC LIMIT 1;
      END IF;
      target := GREATEST(target, leaves + 61);
      leaves := (target * len[place] * 1000000 + 59) / 60;
      IF leaves >= best THEN best := leaves; best_place := asked[k]; best_slot := target; END IF;
    END LOOP;
    place := abs(best_place); target := best_slot;
    IF best_place > 0 THEN
      -- Only where it will stand in line: a promise elsewhere would keep others out for nobody. The end of the line is
      -- kept apart until all are answered: a long line is not copied for each who joins it.
      IF tail[place] = '[]' AND promised[place] <> '[]' THEN
        tail[place] := jsonb_build_array(promised[place]->-1); promised[place] := promised[place] - (-1);
      END IF;
      last_slot := (tail[place]->-1->>0)::bigint;
      IF last_slot = target THEN
        tail[place] := jsonb_set(tail[place], '{-1,1}', to_jsonb((tail[place]->-1->>1)::int + 1));
      ELSIF last_slot IS NULL OR last_slot < target THEN
        tail[place] := tail[place] || jsonb_build_array(jsonb_build_array(target, 1));
      ELSE
        SELECT jsonb_agg(jsonb_build_array(s, u) ORDER BY s) INTO kept FROM (
          SELECT s, sum(u) AS u FROM (
            SELECT (p->>0)::bigint AS s, (p->>1)::int AS u FROM jsonb_array_elements(promised[place] || tail[place]) AS p
            UNION ALL SELECT target, 1) one GROUP BY s) merged;
        promised[place] := kept; tail[place] := '[]';
      END IF;
      IF target <= cur[place] + 60 THEN near[place] := near[place] + 1; END IF;
    END IF;
    answers := array_append(answers, format('[%s,%s]', place - 1, best));
  END LOOP;
  FOR i IN 1..n LOOP
    promised[i] := promised[i] || tail[i];
    IF added[i] > 0 THEN
      granted[i] := granted[i] || jsonb_build_object(cur[i], COALESCE((granted[i]->>cur[i]::text)::int, 0) + added[i]);
    END IF;
  END LOOP;
  UPDATE queues_ratecounter c SET slots = u.s, promises = u.p, "limit" = u.l, window_seconds = u.w,
      used_at = to_timestamp(now_us / 1000000.0)
    FROM unnest(keys, granted, promised, lim, len) AS u(k, s, p, l, w) WHERE c.key = u.k;
  RETURN ('[' || array_to_string(answers, ',') || ']')::jsonb;
END $$;
