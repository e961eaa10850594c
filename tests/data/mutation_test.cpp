// Thousands of damaged files: each must either open and load, or be refused with an error of ours. Run it under
// the sanitizers too: there a wrong read is seen even where it would not crash.
#include "core/errors.h"
#include "data/activations.h"
#include "support/tensor_bytes.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace convbasis {
namespace {

/// Changes a few bytes, or cuts, doubles or fills a stretch. Half of the changes hit the header, where the decisions are.
std::string mutated(std::string bytes, std::size_t header, std::mt19937_64& random) {
  const auto below = [&](std::size_t count) { return static_cast<std::size_t>(random() % std::max<std::size_t>(count, 1)); };
  const std::string interesting = "0123456789-[]{}():,.\"'\\ \n<>|OfVTF\x80\xff";
  for (std::size_t change = 1 + below(4); change > 0 && !bytes.empty(); --change) {
    const std::size_t at = below(below(2) == 0 ? std::min(header, bytes.size()) : bytes.size());
    switch (below(7)) {
      case 0:
        bytes[at] = static_cast<char>(random());
        break;
      case 1:
        bytes[at] = static_cast<char>(bytes[at] ^ static_cast<char>(1U << below(8)));
        break;
      case 2:
        bytes[at] = interesting[below(interesting.size())];
        break;
      case 3:
        bytes.insert(at, 1, interesting[below(interesting.size())]);
        break;
      case 4:
        bytes.erase(at, 1 + below(8));
        break;
      case 5:
        bytes.insert(at, bytes.substr(at, 1 + below(24)));
        break;
      default:
        bytes.resize(at);
        break;
    }
  }
  return bytes;
}

struct Outcome {
  int opened = 0;
  int refused = 0;
};

/// Opens the file and loads what it claims to have; any other exception than ours fails the test, any crash ends it.
void try_file(const std::filesystem::path& path, const ActivationHints& hints, Outcome& outcome) {
  try {
    const Activations activations = Activations::open({path}, hints);
    for (const LayerInfo& info : activations.layers()) {
      (void)activations.load<float>(info.layer, info.heads - 1);
      (void)activations.load<double>(info.layer, 0, 1);
    }
    ++outcome.opened;
  } catch (const FileError&) {
    ++outcome.refused;
  }
}

void expect_survived(const std::string& valid, std::size_t header, const ActivationHints& hints) {
  const test::TemporaryFolder folder;
  std::mt19937_64 random(20240508);
  Outcome outcome;
  try_file(folder.write("0", valid), hints, outcome);
  ASSERT_EQ(outcome.opened, 1);
  for (int i = 0; i < 5000; ++i) {
    const std::string bytes = mutated(valid, header, random);
    try {
      try_file(folder.write("0", bytes), hints, outcome);
    } catch (const std::exception& error) {
      FAIL() << "mutation " << i << " threw " << error.what();
    }
  }
  EXPECT_GT(outcome.opened, 100) << "the mutations should also leave files that open";
  EXPECT_GT(outcome.refused, 1000);
}

TEST(Mutations, Safetensors) {
  const std::vector<float> numbers(4 * 6 * 2, 0.5F);
  const std::string data = test::bytes_of_numbers(numbers);
  const std::string valid = test::safetensors_bytes({{"layers.0.q", "F32", {4, 6, 2}, data},
                                                     {"layers.0.k", "F16", {2, 6, 2}, data.substr(0, 48)},
                                                     {"layers.0.v", "BF16", {2, 6, 2}, data.substr(0, 48)}},
                                                    {{"scale", "0.125"}, {"tokens", "[]"}});
  expect_survived(valid, valid.size() - data.size() - 96, {});
}

TEST(Mutations, Npy) {
  ActivationHints hints;
  const std::vector<double> numbers(3 * 5 * 2, 0.5);
  const std::string valid = test::npy_bytes("<f8", {3, 5, 2}, test::bytes_of_numbers(numbers), true);
  hints.query_name = hints.key_name = hints.value_name = "0";  // the one array plays all three
  expect_survived(valid, valid.size() - 240, hints);
}

TEST(Mutations, EveryTruncation) {
  const test::TemporaryFolder folder;
  const std::string data(16, '\0');
  const std::string safetensors =
      test::safetensors_bytes({{"q", "F32", {2, 2}, data}, {"k", "F32", {2, 2}, data}, {"v", "F32", {2, 2}, data}});
  const std::string npy = test::npy_bytes("<f4", {2, 2}, data);
  for (const std::string& valid : {safetensors, npy}) {
    for (std::size_t size = 0; size < valid.size(); ++size) {
      EXPECT_THROW(open_tensor_file(folder.write("cut", valid.substr(0, size))), FileError) << size;
    }
    EXPECT_THROW(open_tensor_file(folder.write("long", valid + "x")), FileError);
    EXPECT_NO_THROW(open_tensor_file(folder.write("whole", valid)));
  }
}

}  // namespace
}  // namespace convbasis
