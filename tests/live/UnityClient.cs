// A game's side of the live loop with the class that Unity uses, System.Net.WebSockets.ClientWebSocket, under Mono.
//
//     mono UnityClient.exe URL FRAMES SENT FULL_FRAME
//
// Every message leaves in fragments of 1,016 bytes, as websocket-sharp and Unity's own stack cut them. What is checked is
// printed as "ok NAME" or "not ok NAME"; SENT gets a line of hexadecimal for every frame: number, coordinates and
// state as 32-bit floats, values. FULL_FRAME holds a PNG as base64, sent with frame 3.
using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Net.WebSockets;
using System.Text;
using System.Text.RegularExpressions;
using System.Threading;
using System.Threading.Tasks;

class UnityClient
{
    const int Fragment = 1016;
    const int Patience = 120000;

    struct UV
    {
        public float u, v;
    }

    readonly ClientWebSocket socket = new ClientWebSocket();
    readonly Queue<string> inbox = new Queue<string>();
    readonly SemaphoreSlim arrived = new SemaphoreSlim(0);
    readonly StringBuilder sent = new StringBuilder();
    UV[] coordinates = new UV[0];
    int setId = -1;

    static void Ok(bool good, string name, string why = "")
    {
        Console.WriteLine((good ? "ok " : "not ok ") + name + (good || why == "" ? "" : ": " + why.Replace("\n", " ")));
    }

    async Task Send(string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        for (int at = 0; at < bytes.Length; at += Fragment)
        {
            int n = Math.Min(Fragment, bytes.Length - at);
            await socket.SendAsync(new ArraySegment<byte>(bytes, at, n), WebSocketMessageType.Text,
                                   at + n == bytes.Length, CancellationToken.None);
        }
    }

    async Task Receive()
    {
        var buffer = new byte[4096];
        var message = new MemoryStream();
        try
        {
            while (socket.State == WebSocketState.Open || socket.State == WebSocketState.CloseSent)
            {
                var part = await socket.ReceiveAsync(new ArraySegment<byte>(buffer), CancellationToken.None);
                if (part.MessageType == WebSocketMessageType.Close)
                    break;
                message.Write(buffer, 0, part.Count);
                if (!part.EndOfMessage)
                    continue;
                lock (inbox)
                    inbox.Enqueue(Encoding.UTF8.GetString(message.ToArray()));
                message.SetLength(0);
                arrived.Release();
            }
        }
        catch (WebSocketException e)
        {
            Ok(false, "the connection stands", e.Message);
        }
    }

    // The next message, which ought to be of this type; "" when none comes.
    async Task<string> Next(string type)
    {
        if (!await arrived.WaitAsync(Patience))
        {
            Ok(false, type + " comes", "nothing came");
            return "";
        }
        string text;
        lock (inbox)
            text = inbox.Dequeue();
        if (!text.Contains("\"type\":\"" + type + "\""))
            Ok(false, type + " comes", text.Substring(0, Math.Min(200, text.Length)));
        return text;
    }

    static string Field(string text, string name)
    {
        Match m = Regex.Match(text, "\"" + name + "\":(\\[[^\\]]*\\]|\"[^\"]*\"|[^,}]*)");
        return m.Success ? m.Groups[1].Value : null;
    }

    void TakeCoordinates(string text)
    {
        var found = Regex.Matches(text, "{\"u\":([^,]*),\"v\":([^}]*)}");
        coordinates = new UV[found.Count];
        for (int i = 0; i < found.Count; i++)
        {
            coordinates[i].u = float.Parse(found[i].Groups[1].Value, CultureInfo.InvariantCulture);
            coordinates[i].v = float.Parse(found[i].Groups[2].Value, CultureInfo.InvariantCulture);
        }
        setId = int.Parse(Field(text, "set_id"));
    }

    static string Hex(float x)
    {
        return BitConverter.ToString(BitConverter.GetBytes(x)).Replace("-", "");
    }

    // JsonUtility has written floats with 9 digits, and by way of double with 17: both must arrive as the same float.
    static string Number(float x, int frame, CultureInfo culture)
    {
        return frame % 2 == 0 ? x.ToString("R", culture) : ((double)x).ToString("G17", culture);
    }

    string Frame(int frame, string more, CultureInfo culture, bool keep)
    {
        var pixels = new StringBuilder();
        var state = new StringBuilder();
        StringBuilder uvHex = new StringBuilder(), valueHex = new StringBuilder(), stateHex = new StringBuilder();
        for (int i = 0; i < coordinates.Length; i++)
        {
            UV c = coordinates[i];
            int value = (int)(127 + 100 * Math.Sin(9 * c.u + 0.2 * frame) * Math.Cos(7 * c.v));
            pixels.Append(i == 0 ? "" : ",").Append("{\"u\":").Append(Number(c.u, frame, culture));
            pixels.Append(",\"v\":").Append(Number(c.v, frame, culture)).Append(",\"value\":").Append(value).Append("}");
            uvHex.Append(Hex(c.u)).Append(Hex(c.v));
            valueHex.Append(value.ToString("X2"));
        }
        float[] states = { frame / 3f, -999f, (float)Math.Sqrt(frame), 1e-7f * frame };
        for (int i = 0; i < states.Length; i++)
        {
            state.Append(i == 0 ? "" : ",").Append(Number(states[i], frame, culture));
            stateHex.Append(Hex(states[i]));
        }
        if (keep)
            sent.Append(frame).Append(' ').Append(uvHex).Append(' ').Append(valueHex).Append(' ').Append(stateHex).Append('\n');
        return "{\"type\":\"" + (more == "" ? "frame_data" : "frame_data_debug") + "\",\"payload\":{\"frame_id\":" + frame +
               ",\"timestamp\":" + Number(frame / 10f, frame, culture) + ",\"resolution\":[640,480],\"num_pixels\":" +
               coordinates.Length + ",\"pixels\":[" + pixels + "],\"state_vector\":[" + state + "],\"set_id\":" + setId + more +
               "}}";
    }

    async Task Begin()
    {
        await Send("{\"type\":\"session_start\",\"payload\":{\"checkpoint_key\":\"unity\",\"max_state_dim\":64," +
                   "\"sample_count\":500,\"resolution\":[640,480],\"client_name\":\"Unity \u00fcber Mono\",\"debug\":true}}");
        string ack = await Next("session_start_ack");
        string missing = "";
        foreach (string name in new[] { "checkpoint_key", "checkpoint_loaded", "model_version", "sample_count", "max_state_dim",
                                        "target_fps", "sentinel_value", "resolution", "debug_mode", "session_id" })
            if (Field(ack, name) == null)
                missing += name + " ";
        Ok(missing == "", "the acknowledgement has every field", missing + ack);
        Ok(Field(ack, "checkpoint_key") == "\"unity\"" && Field(ack, "checkpoint_loaded") == "true" &&
               Field(ack, "resolution") == "[32,32]" && Field(ack, "sentinel_value") == "-999" &&
               Field(ack, "debug_mode") == "true",
           "and they say what the server decided", ack);
        string first = await Next("uv_coordinates");
        TakeCoordinates(first);
        Ok(Field(first, "target_frame_id") == "0" && coordinates.Length == int.Parse(Field(ack, "sample_count")),
           "the first coordinates come at once, as many as the acknowledgement says", first);
        Console.WriteLine("session " + Field(ack, "session_id").Trim('"'));
    }

    async Task Play(int frames, string fullFrame)
    {
        int good = 0, due = 0;
        for (int k = 0; k < frames; k++)
        {
            string more = k == 3 ? ",\"full_frame_base64\":\"" + fullFrame + "\"" : "";
            await Send(Frame(k, more, CultureInfo.InvariantCulture, true));
            if (k % 5 != 4)
                continue;
            string set = await Next("uv_coordinates");
            due++;
            if (Field(set, "target_frame_id") == (k + 1).ToString())
                good++;
            TakeCoordinates(set);
        }
        Ok(good == due && due == frames / 5, "coordinates come when they are due, for the frame behind", good + " of " + due);
    }

    async Task Mistakes()
    {
        await Send("{\"type\":\"heartbeat\",\"payload\":{\"timestamp\":12.5}}");
        string beat = await Next("heartbeat_ack");
        double now = (DateTime.UtcNow - new DateTime(1970, 1, 1)).TotalSeconds;
        Ok(Math.Abs(double.Parse(Field(beat, "timestamp"), CultureInfo.InvariantCulture) - now) < 60, "a heartbeat is answered", beat);

        await Send(Frame(1000, "", new CultureInfo("de-DE"), false));
        string error = await Next("error");
        Ok(Field(error, "code") == "\"INVALID_JSON\"" && error.Contains("decimal comma"),
           "numbers of a German computer are called by their name", error);

        coordinates[7].u = 1.5f;
        await Send(Frame(1001, "", CultureInfo.InvariantCulture, false));
        error = await Next("error");
        Ok(Field(error, "code") == "\"INVALID_FRAME_DATA\"" && error.Contains("pixels[7].u"),
           "a coordinate outside is an error with its index", error);

        await Send("{\"type\":\"session_end\",\"payload\":{}}");
        error = await Next("error");
        Ok(Field(error, "code") == "\"UNKNOWN_MESSAGE_TYPE\"", "a message that there is none of is an error", error);
    }

    async Task Run(string[] args)
    {
        socket.Options.KeepAliveInterval = TimeSpan.FromSeconds(1); // pings of its own
        await socket.ConnectAsync(new Uri(args[0]), CancellationToken.None);
        Task receiving = Receive();
        await Begin();
        await Play(int.Parse(args[1]), File.ReadAllText(args[3]));
        await Mistakes();
        await socket.CloseAsync(WebSocketCloseStatus.NormalClosure, "", CancellationToken.None);
        await receiving;
        Ok(socket.CloseStatus == WebSocketCloseStatus.NormalClosure, "the server answers the close with 1000",
           socket.CloseStatus + " " + socket.State);
        File.WriteAllText(args[2], sent.ToString());
    }

    static int Main(string[] args)
    {
        new UnityClient().Run(args).Wait();
        return 0;
    }
}
