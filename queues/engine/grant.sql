-- The grant of `limiter` in one statement, for PostgreSQL; the arithmetic is that of `window`, and a test holds the two together.
-- keys (sorted), lim, len: one entry a key;  asked: for each want `units, ahead (0/1), how many keys, their places from 1 …`
-- answer: [[null, null] granted | [refusing place, epoch seconds], ...] in the order of the wants
CREATE OR REPLACE FUNCTION queues_grant(keys text[], lim int[], len float8[], asked int[], at timestamptz DEFAULT NULL)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  n int := cardinality(keys);
  none constant jsonb := '{}';
  granted jsonb[]; promised jsonb[]; kept jsonb;
  cur bigint[]; used int[]; line int[]; added int[] := array_fill(0, ARRAY[n]);
  now_s float8; held record; at_want int := 1; first_key int; last_key int; units int; ahead bool; ok bool; place int;
  target bigint; leaves bigint; best float8; best_place int; answers text[] := '{}';
BEGIN
  LOOP
    -- Create what is missing, then lock all, in the order of the keys (byte order, as the caller sorted them).
    INSERT INTO queues_ratecounter (key, slots, promises, "limit", window_seconds, used_at)
      SELECT k, none, none, 0, 0, clock_timestamp() FROM unnest(keys) WITH ORDINALITY AS e(k, i)
      WHERE NOT EXISTS (SELECT 1 FROM queues_ratecounter c WHERE c.key = k) ORDER BY i ON CONFLICT DO NOTHING;
    granted := '{}'; promised := '{}';
    FOR held IN SELECT c.slots, c.promises FROM queues_ratecounter c WHERE c.key = ANY(keys)
                ORDER BY c.key COLLATE "C" FOR UPDATE LOOP
      granted := array_append(granted, held.slots); promised := array_append(promised, held.promises);
    END LOOP;
    EXIT WHEN cardinality(granted) = n; -- the daily cleaning deleted one in between: once more
  END LOOP;
  -- Only now: who waited for a lock must not count into an older slot.
  now_s := extract(epoch FROM COALESCE(at, clock_timestamp()));
  FOR i IN 1..n LOOP
    cur[i] := floor(now_s * 60 / len[i]); used[i] := 0; line[i] := 0;
    IF granted[i] <> none THEN
      SELECT COALESCE(jsonb_object_agg(s, u::int), none), COALESCE(sum(u::int), 0) INTO kept, units
        FROM jsonb_each_text(granted[i]) AS t(s, u) WHERE s::bigint >= cur[i] - 60;
      granted[i] := kept; used[i] := units;
    END IF;
    IF promised[i] <> none THEN
      SELECT COALESCE(jsonb_object_agg(s, u::int), none), COALESCE(sum(u::int), 0) INTO kept, units
        FROM jsonb_each_text(promised[i]) AS t(s, u) WHERE s::bigint >= cur[i];
      promised[i] := kept; line[i] := units;
    END IF;
  END LOOP;
  WHILE at_want <= cardinality(asked) LOOP
    units := asked[at_want]; ahead := asked[at_want + 1] = 1; ok := true;
    first_key := at_want + 3; last_key := at_want + 2 + asked[at_want + 2]; at_want := last_key + 1;
    FOR k IN first_key..last_key LOOP
      place := asked[k];
      ok := ok AND used[place] + units <= lim[place] AND (ahead OR line[place] = 0);
    END LOOP;
    IF ok THEN
      FOR k IN first_key..last_key LOOP
        used[asked[k]] := used[asked[k]] + units; added[asked[k]] := added[asked[k]] + units;
      END LOOP;
      answers := array_append(answers, '[null,null]');
      CONTINUE;
    END IF;
    best := -1;
    FOR k IN first_key..last_key LOOP
      place := asked[k];
      CONTINUE WHEN used[place] + units <= lim[place] AND (ahead OR line[place] = 0);
      SELECT GREATEST(cur[place], max(s::bigint)) INTO target FROM jsonb_object_keys(promised[place]) AS s;
      SELECT s INTO leaves FROM (
        SELECT s, sum(u) OVER (ORDER BY s DESC, u DESC ROWS UNBOUNDED PRECEDING) AS behind FROM (
          SELECT s::bigint AS s, u::int AS u FROM jsonb_each_text(granted[place]) AS a(s, u)
          UNION ALL SELECT cur[place], added[place]
          UNION ALL SELECT s::bigint, u::int FROM jsonb_each_text(promised[place]) AS b(s, u)) taken
      ) q WHERE behind + units > lim[place] ORDER BY s DESC LIMIT 1;
      target := GREATEST(target, leaves + 61);
      promised[place] := jsonb_set(promised[place], ARRAY[target::text],
        to_jsonb(COALESCE((promised[place]->>target::text)::int, 0) + units));
      line[place] := line[place] + units;
      IF target * len[place] / 60 >= best THEN best := target * len[place] / 60; best_place := place; END IF;
    END LOOP;
    answers := array_append(answers, format('[%s,%s]', best_place - 1, GREATEST(best, now_s)));
  END LOOP;
  FOR i IN 1..n LOOP
    IF added[i] > 0 THEN
      granted[i] := granted[i] || jsonb_build_object(cur[i], COALESCE((granted[i]->>cur[i]::text)::int, 0) + added[i]);
    END IF;
  END LOOP;
  UPDATE queues_ratecounter c SET slots = u.s, promises = u.p, "limit" = u.l, window_seconds = u.w,
      used_at = to_timestamp(now_s)
    FROM unnest(keys, granted, promised, lim, len) AS u(k, s, p, l, w) WHERE c.key = u.k;
  RETURN ('[' || array_to_string(answers, ',') || ']')::jsonb;
END $$;
