/// \file
/// The module that talks by MPI: the only file that knows it. Every call returns at once. Receives and sends are begun and
/// looked after later, so that a rank which dies in the middle of a message blocks nobody.

#include "cli/mpi_transport.h"

#include <mpi.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <deque>
#include <list>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#ifdef __linux__
#include <sched.h>
#endif

namespace convscope {
namespace {

constexpr int tag = 1;
constexpr auto finalize_patience = std::chrono::seconds(10);

#ifdef __linux__
using Affinity = cpu_set_t;
Affinity affinity() {
  Affinity mask;
  CPU_ZERO(&mask);
  sched_getaffinity(0, sizeof mask, &mask);
  return mask;
}
int processors_in(const Affinity& mask) { return CPU_COUNT(&mask); }
bool equal(const Affinity& a, const Affinity& b) { return CPU_EQUAL(&a, &b) != 0; }
#else
using Affinity = unsigned;
Affinity affinity() { return std::thread::hardware_concurrency(); }
int processors_in(Affinity mask) { return static_cast<int>(mask); }
bool equal(Affinity a, Affinity b) { return a == b; }
#endif

/// Launchers bind each rank to processors of its own, or leave all of them to all: ranks with the same ones share them.
int processors_for_each() {
  MPI_Comm machine = MPI_COMM_NULL;
  if (MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &machine) != MPI_SUCCESS) return 1;
  int ranks = 1;
  MPI_Comm_size(machine, &ranks);
  const Affinity mine = affinity();
  std::vector<Affinity> all(static_cast<std::size_t>(ranks), mine);
  MPI_Allgather(&mine, sizeof mine, MPI_BYTE, all.data(), sizeof mine, MPI_BYTE, machine);
  MPI_Comm_free(&machine);
  const auto sharing = std::ranges::count_if(all, [&](const Affinity& other) { return equal(mine, other); });
  return std::max(1, processors_in(mine) / std::max(1, static_cast<int>(sharing)));
}

class MpiTransport final : public RankTransport {
 public:
  MpiTransport() {
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);  // the default ends the process
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
    MPI_Comm_size(MPI_COMM_WORLD, &size_);
    processors_ = processors_for_each();
    arriving_.resize(static_cast<std::size_t>(size_));
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  int processors() const override { return processors_; }

  void send(int to, std::string text) override {
    clear_sent();
    Transfer& transfer = sending_.emplace_back();
    transfer.text = std::move(text);
    // NOLINTNEXTLINE(clang-analyzer-optin.mpi.MPI-Checker): clear_sent() looks after it; waiting for a dead rank would not end
    const int begun = MPI_Isend(transfer.text.data(), static_cast<int>(transfer.text.size()), MPI_CHAR, to, tag, MPI_COMM_WORLD,
                                &transfer.request);
    if (begun != MPI_SUCCESS) sending_.pop_back();
  }

  std::optional<RankMessage> receive() override {
    clear_sent();
    begin_receives();
    for (int from = 0; from < size_; ++from) {
      auto& queue = arriving_[static_cast<std::size_t>(from)];
      if (queue.empty() || !is_over(queue.front())) continue;
      RankMessage message{from, std::move(queue.front().text)};
      const bool good = queue.front().good;
      queue.pop_front();
      if (good) return message;
    }
    return std::nullopt;
  }

  void finish(bool together) override {
    if (!together) return;  // MPI_Finalize would wait for the dead
    std::jthread watchdog([](const std::stop_token& stop) {
      const auto end = std::chrono::steady_clock::now() + finalize_patience;
      while (!stop.stop_requested() && std::chrono::steady_clock::now() < end)
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
      if (!stop.stop_requested()) std::_Exit(EXIT_SUCCESS);  // somebody died just now; the results are written
    });
    while (!sending_.empty() && !watchdog.get_stop_token().stop_requested()) {
      clear_sent();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    MPI_Finalize();
  }

 private:
  /// A message under way. Its text must stay where it is, so transfers live in containers that move nothing.
  struct Transfer {
    std::string text;
    MPI_Request request = MPI_REQUEST_NULL;
    bool good = true;
  };

  static bool is_over(Transfer& transfer) {
    int over = 0;
    transfer.good = MPI_Test(&transfer.request, &over, MPI_STATUS_IGNORE) == MPI_SUCCESS;
    return over != 0 || !transfer.good;
  }

  void clear_sent() {
    std::erase_if(sending_, [](Transfer& transfer) { return is_over(transfer); });
  }

  void begin_receives() {
    while (true) {
      int there = 0;
      MPI_Message message = MPI_MESSAGE_NULL;
      MPI_Status status;
      if (MPI_Improbe(MPI_ANY_SOURCE, tag, MPI_COMM_WORLD, &there, &message, &status) != MPI_SUCCESS || there == 0) return;
      int length = 0;
      MPI_Get_count(&status, MPI_CHAR, &length);
      Transfer& transfer = arriving_[static_cast<std::size_t>(status.MPI_SOURCE)].emplace_back();
      transfer.text.resize(static_cast<std::size_t>(std::max(0, length)));
      MPI_Imrecv(transfer.text.data(), length, MPI_CHAR, &message, &transfer.request);
    }
  }

  int rank_ = 0, size_ = 1, processors_ = 1;
  std::list<Transfer> sending_;
  std::vector<std::deque<Transfer>> arriving_;  ///< by rank, in the order they were sent
};

}  // namespace
}  // namespace convscope

extern "C" convscope::RankTransport* convscope_mpi_transport(std::string& problem) {
  int provided = 0;
  if (MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided) != MPI_SUCCESS) {
    problem = "MPI_Init_thread failed";
    return nullptr;
  }
  if (provided < MPI_THREAD_FUNNELED) {
    problem = "this MPI was built without threads";
    return nullptr;
  }
  return new convscope::MpiTransport();
}
