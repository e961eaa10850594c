/// \file
/// How the processes of one run talk to each other, whatever carries it. A rank is a process; rank 0 leads.
#pragma once

#include <optional>
#include <string>

namespace convscope {

struct RankMessage {
  int from = 0;
  std::string text;
};

/// All methods are for one thread and none of them waits for another rank, so that a rank which dies cannot hold up the others.
/// Messages between two ranks arrive in the order they were sent; those to a dead rank are lost without notice.
class RankTransport {
 public:
  RankTransport() = default;
  RankTransport(const RankTransport&) = delete;
  RankTransport& operator=(const RankTransport&) = delete;
  virtual ~RankTransport() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  /// Processors of this machine for each of its ranks, at least 1.
  virtual int processors() const = 0;
  virtual void send(int to, std::string text) = 0;
  virtual std::optional<RankMessage> receive() = 0;
  /// Ends the conversation. With `together` all ranks have agreed to call it now; otherwise some are dead and the others leave
  /// as they are. Nothing may be sent or received afterwards.
  virtual void finish(bool together) = 0;
};

}  // namespace convscope
