// One gRPC call with bodies that somebody else has encoded.
//
//   client TARGET METHOD TIMEOUT_MS [KEY=HEX]...
//
// Requests come on standard input, each after its length in four bytes, the
// highest first. To standard output go, each after a letter and its length, the
// replies (M), the pairs of the header (H) and the trailer (T) as KEY=VALUE, the
// status' code (C), its text (E), and its details (D).
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <climits>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace {

std::string FromHex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

void Put(char letter, const std::string& data) {
  const auto length = static_cast<uint32_t>(data.size());
  const char head[] = {letter, static_cast<char>(length >> 24), static_cast<char>(length >> 16),
                       static_cast<char>(length >> 8), static_cast<char>(length)};
  std::cout.write(head, sizeof head).write(data.data(), length);
}

std::optional<std::string> NextRequest() {
  unsigned char head[4];
  if (!std::cin.read(reinterpret_cast<char*>(head), sizeof head)) return std::nullopt;
  std::string body(head[0] << 24 | head[1] << 16 | head[2] << 8 | head[3], '\0');
  if (!std::cin.read(body.data(), static_cast<std::streamsize>(body.size()))) return std::nullopt;
  return body;
}

void PutPairs(char letter, const std::multimap<grpc::string_ref, grpc::string_ref>& pairs) {
  for (const auto& [key, value] : pairs) {
    Put(letter, std::string(key.data(), key.size()) + "=" + std::string(value.data(), value.size()));
  }
}

// A call whose steps are waited for, one after the other.
class Call {
 public:
  Call(grpc::GenericStub* stub, grpc::ClientContext* context, const std::string& method)
      : stream_(stub->PrepareCall(context, method, &queue_)) {
    stream_->StartCall(nullptr);
    Wait();
  }

  bool Write(const std::string& body) {
    grpc::Slice slice(body);
    stream_->Write(grpc::ByteBuffer(&slice, 1), nullptr);
    return Wait();
  }

  void EndOfRequests() {
    stream_->WritesDone(nullptr);
    Wait();
  }

  std::optional<std::string> Read() {
    grpc::ByteBuffer buffer;
    stream_->Read(&buffer, nullptr);
    if (!Wait()) return std::nullopt;
    std::vector<grpc::Slice> slices;
    if (!buffer.Dump(&slices).ok()) return std::nullopt;
    std::string body;
    for (const auto& slice : slices) {
      body.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
    }
    return body;
  }

  grpc::Status Finish() {
    grpc::Status status;
    stream_->Finish(&status, nullptr);
    Wait();
    return status;
  }

 private:
  bool Wait() {
    void* tag = nullptr;
    bool ok = false;
    return queue_.Next(&tag, &ok) && ok;
  }

  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string(argv[1]) == "--version") {
    std::cout << "gRPC C++ " << grpc::Version() << std::endl;
    return 0;
  }
  if (argc < 4) {
    std::cerr << "usage: client TARGET METHOD TIMEOUT_MS [KEY=HEX]..." << std::endl;
    return 2;
  }
  grpc::ChannelArguments options;
  options.SetMaxReceiveMessageSize(INT_MAX);
  const auto channel =
      grpc::CreateCustomChannel(argv[1], grpc::InsecureChannelCredentials(), options);
  // Connecting is no part of the call's time. Where it fails, the call will say so.
  channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(30));
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::milliseconds(std::atoi(argv[3])));
  for (int i = 4; i < argc; i++) {
    const std::string pair = argv[i];
    const auto equals = pair.find('=');
    context.AddMetadata(pair.substr(0, equals), FromHex(pair.substr(equals + 1)));
  }
  Call call(&stub, &context, argv[2]);
  while (auto request = NextRequest()) {
    if (!call.Write(*request)) break;
  }
  call.EndOfRequests();
  while (auto reply = call.Read()) Put('M', *reply);
  const grpc::Status status = call.Finish();
  PutPairs('H', context.GetServerInitialMetadata());
  PutPairs('T', context.GetServerTrailingMetadata());
  Put('E', status.error_message());
  Put('D', status.error_details());
  Put('C', std::to_string(status.error_code()));
  return 0;
}
