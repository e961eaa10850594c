// The restricted pickle reader: what it builds, and one test for each thing that it refuses.
#include "data/pickle.h"

#include "core/errors.h"
#include "support/archive_bytes.h"
#include "support/expect_error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace convbasis {
namespace {

using namespace test::pickle;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

Pickle read(const std::string& value) { return read_pickle(whole(value), "p"); }

std::string problem_of_bytes(const std::string& bytes) {
  return testing_inputs::message_of<FileError>([&] { (void)read_pickle(bytes, "p"); });
}
std::string problem_of(const std::string& value) { return problem_of_bytes(whole(value)); }

const PickledValue& root(const Pickle& pickle) { return pickle.values[pickle.root]; }

TEST(Pickle, NumbersAndTexts) {
  EXPECT_EQ(root(read("N")).kind, PickledKind::none);
  EXPECT_EQ(root(read("\x88")).integer, 1);
  EXPECT_EQ(root(read("\x89")).kind, PickledKind::boolean);
  EXPECT_EQ(root(read("K\xFF")).integer, 255);
  EXPECT_EQ(root(read("M\xFF\xFE")).integer, 0xFEFF);
  EXPECT_EQ(root(read("J\xFE\xFF\xFF\xFF")).integer, -2);
  EXPECT_EQ(root(read(std::string("\x8a\x00", 2))).integer, 0);
  EXPECT_EQ(root(read("\x8a\x01\xFF")).integer, -1);
  EXPECT_EQ(root(read(std::string("\x8a\x05\x00\x00\x00\x00\x02", 7))).integer, std::int64_t{1} << 33);
  EXPECT_EQ(root(read("\x8a\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F")).integer, INT64_MAX);
  EXPECT_EQ(root(read(std::string("G\x3f\xc0\x00\x00\x00\x00\x00\x00", 9))).real, 0.125);
  EXPECT_EQ(root(read(text("four"))).text, "four");
}

TEST(Pickle, ContainersAndMemory) {
  const Pickle pickle = read("]q\x01(" + text("a") + "q\x02h\x02)\x85\x86" + "N" + "\x88\x89\x87" + "r" +
                             test::little_endian(300, 4) + "j" + test::little_endian(300, 4) + "e" + text("z") + "a");
  const auto& items = root(pickle).items;
  ASSERT_EQ(items.size(), 5U);
  EXPECT_EQ(pickle.values[items[0]].text, "a");
  const PickledValue& pair = pickle.values[items[1]];
  EXPECT_EQ(pair.kind, PickledKind::tuple);
  EXPECT_EQ(pair.items[0], items[0]) << "the remembered text, not a copy";
  EXPECT_EQ(pickle.values[pair.items[1]].items.size(), 1U);
  EXPECT_EQ(items[2], items[3]);
  EXPECT_EQ(pickle.values[items[2]].items.size(), 3U);
  EXPECT_EQ(pickle.values[items[4]].text, "z");
  EXPECT_EQ(root(read(std::string("}") + text("k") + "K\x05s")).items.size(), 2U);
  EXPECT_EQ(root(read(dict({text("k"), "N", text("l"), "N"}))).items.size(), 4U);
}

TEST(Pickle, TensorsAndParameters) {
  const std::string one = tensor(storage("HalfStorage", "0", 10, "cuda:0"), 2, {2, 3}, {4, 1});
  const Pickle pickle =
      read(tuple({one, global("torch._utils", "_rebuild_parameter") + tuple({one, "\x88", ordered_dict()}) + "R"}));
  ASSERT_EQ(pickle.tensors.size(), 2U);
  EXPECT_EQ(pickle.tensors[0].offset, 2);
  EXPECT_THAT(pickle.tensors[0].shape, ElementsAre(2, 3));
  EXPECT_THAT(pickle.tensors[0].strides, ElementsAre(4, 1));
  EXPECT_EQ(pickle.storages[0].dtype, DType::f16);
  EXPECT_EQ(pickle.storages[0].key, "0");
  EXPECT_EQ(pickle.storages[0].count, 10);
  for (const std::uint32_t item : root(pickle).items) EXPECT_EQ(pickle.values[item].kind, PickledKind::tensor);
}

TEST(Pickle, EveryStorageType) {
  const std::vector<std::pair<std::string, DType>> types{
      {"Double", DType::f64}, {"Float", DType::f32}, {"Half", DType::f16}, {"BFloat16", DType::bf16}, {"Long", DType::i64},
      {"Int", DType::i32},    {"Short", DType::i16}, {"Char", DType::i8},  {"Byte", DType::u8},       {"Bool", DType::boolean}};
  for (const auto& [name, dtype] : types) EXPECT_EQ(read(storage(name + "Storage", "7", 1)).storages[0].dtype, dtype) << name;
}

TEST(Pickle, TheStateOfAnOrderedDictIsLeft) {
  const Pickle pickle = read(ordered_dict() + dict({text("_metadata"), "N"}) + "b");
  EXPECT_EQ(root(pickle).kind, PickledKind::dict);
  EXPECT_TRUE(root(pickle).items.empty());
}

TEST(PickleBadInput, ObjectsOfPythonAreNeverRun) {
  for (const auto& [module, name] :
       {std::pair("os", "system"), std::pair("builtins", "eval"), std::pair("torch", "ComplexFloatStorage"),
        std::pair("torch._utils", "_rebuild_tensor_v3"), std::pair("numpy.core.multiarray", "_reconstruct"),
        std::pair("collections", "defaultdict"), std::pair("torch", "Size")}) {
    EXPECT_THAT(
        problem_of(global(module, name) + tuple({text("rm")}) + "R"),
        AllOf(StartsWith("p: asks for the Python object \"" + std::string(module) + "." + name + "\""), HasSubstr("never run")));
  }
  EXPECT_THAT(problem_of(std::string("c") + std::string(300, 'x')), HasSubstr("the name of a Python object does not end"));
}

TEST(PickleBadInput, OtherInstructionsAreNamed) {
  const std::vector<std::pair<unsigned char, std::string>> named{
      {'0', "POP"},          {'1', "POP_MARK"},      {'2', "DUP"},        {'F', "FLOAT"},          {'I', "INT"},
      {'L', "LONG"},         {'P', "PERSID"},        {'S', "STRING"},     {'T', "BINSTRING"},      {'U', "SHORT_BINSTRING"},
      {'V', "UNICODE"},      {'d', "DICT"},          {'g', "GET"},        {'i', "INST"},           {'l', "LIST"},
      {'o', "OBJ"},          {'p', "PUT"},           {'B', "BINBYTES"},   {'C', "SHORT_BINBYTES"}, {0x81, "NEWOBJ"},
      {0x82, "EXT1"},        {0x83, "EXT2"},         {0x84, "EXT4"},      {0x8B, "LONG4"},         {0x8C, "SHORT_BINUNICODE"},
      {0x8D, "BINUNICODE8"}, {0x8E, "BINBYTES8"},    {0x8F, "EMPTY_SET"}, {0x90, "ADDITEMS"},      {0x91, "FROZENSET"},
      {0x92, "NEWOBJ_EX"},   {0x93, "STACK_GLOBAL"}, {0x94, "MEMOIZE"},   {0x95, "FRAME"},         {0xFE, "0xfe"}};
  for (const auto& [code, name] : named) {
    EXPECT_THAT(problem_of(std::string(1, static_cast<char>(code)) + "0\n0\n"),
                HasSubstr("at byte 2: pickle instruction " + name + ", which tensors do not need"));
  }
  EXPECT_THAT(problem_of_bytes("\x80\x04N."), HasSubstr("is a pickle of protocol 4; expected 2"));
}

TEST(PickleBadInput, TheStack) {
  EXPECT_THAT(problem_of_bytes(""), HasSubstr("is cut off at byte 0"));
  EXPECT_THAT(problem_of_bytes("\x80\x02N"), HasSubstr("is cut off at byte 3"));
  EXPECT_THAT(problem_of("NN"), HasSubstr("ends with 2 values on its stack; expected one"));
  EXPECT_THAT(problem_of(""), HasSubstr("ends with 0 values"));
  EXPECT_THAT(problem_of("N("), HasSubstr("ends with 1 values"));
  EXPECT_THAT(problem_of("N.N"), HasSubstr("has 2 bytes after its end"));
  for (const char* taking : {"\x85", "R", "Q", "b", "N\x86", "](Na", "s", "q\x01"}) {
    EXPECT_THAT(problem_of(taking), HasSubstr("takes a value that is not there")) << taking;
  }
  for (const char* taking : {"t", "]e", "}u"}) EXPECT_THAT(problem_of(taking), HasSubstr("a mark that is not there")) << taking;
  EXPECT_THAT(problem_of("h\x01"), HasSubstr("asks for the remembered value 1, which is not there"));
  EXPECT_THAT(problem_of("Nq\x02h\x01"), HasSubstr("asks for the remembered value 1"));
}

TEST(PickleBadInput, Kinds) {
  EXPECT_THAT(problem_of("NNa"), HasSubstr("a container is a None; expected a list"));
  EXPECT_THAT(problem_of("]NNs"), HasSubstr("a container is a list; expected a dict"));
  EXPECT_THAT(problem_of("}(Nu"), HasSubstr("a key without a value"));
  EXPECT_THAT(problem_of("N)R"), HasSubstr("what is called is a None; expected a callable"));
  EXPECT_THAT(problem_of(global("collections", "OrderedDict") + "]R"),
              HasSubstr("the list of arguments is a list; expected a tuple"));
  EXPECT_THAT(problem_of(global("collections", "OrderedDict") + tuple({"]"}) + "R"),
              HasSubstr("calls collections.OrderedDict as"));
  EXPECT_THAT(problem_of(global("torch", "FloatStorage") + ")R"),
              HasSubstr("calls torch.FloatStorage as saved tensors never do"));
  EXPECT_THAT(problem_of("NQ"), HasSubstr("a persistent id is a None; expected a tuple"));
  EXPECT_THAT(problem_of(tuple({text("module"), global("torch", "FloatStorage"), text("0"), text("cpu"), integer(1)}) + "Q"),
              HasSubstr("a persistent id \"module\" of torch.FloatStorage; expected a storage"));
  EXPECT_THAT(
      problem_of(tuple({text("storage"), global("collections", "OrderedDict"), text("0"), text("cpu"), integer(1)}) + "Q"),
      HasSubstr("of collections.OrderedDict; expected a storage"));
  EXPECT_THAT(problem_of(tuple({text("storage")}) + "Q"), HasSubstr("a persistent id has 1 arguments; expected 5"));
  EXPECT_THAT(problem_of("]}b"), HasSubstr("an object with a state is a list; expected a dict"));
  EXPECT_THAT(problem_of("}Nb"), HasSubstr("the state of an object is a None"));
  const std::string rebuild = global("torch._utils", "_rebuild_tensor_v2");
  EXPECT_THAT(problem_of(rebuild + ")R"), HasSubstr("_rebuild_tensor_v2 has 0 arguments; expected 6"));
  EXPECT_THAT(problem_of(rebuild + tuple({"N", "N", "N", "N", "N", "N"}) + "R"),
              HasSubstr("argument 0 of torch._utils._rebuild_tensor_v2 is a None; expected a storage"));
  EXPECT_THAT(problem_of(tensor(storage("FloatStorage", "0", 1), 0, {1, 1}, {1})),
              HasSubstr("a tensor has 2 axes and 1 strides"));
  EXPECT_THAT(problem_of(tensor(storage("FloatStorage", "0", 1), 0, std::vector<std::int64_t>(65, 1), {})),
              HasSubstr("a tensor of 65 axes; at most 64 are read"));
  EXPECT_THAT(
      problem_of(rebuild + tuple({storage("FloatStorage", "0", 1), integer(0), tuple({"N"}), tuple({"N"}), "\x89", "}"}) + "R"),
      HasSubstr("a length or stride is a None; expected a whole number"));
  EXPECT_THAT(problem_of(global("torch._utils", "_rebuild_parameter") + tuple({"N", "\x88", "}"}) + "R"),
              HasSubstr("expected a tensor"));
}

TEST(PickleBadInput, Sizes) {
  EXPECT_THAT(problem_of("\x8a\x09"), HasSubstr("a number of 9 bytes; at most 8 are read"));
  EXPECT_THAT(problem_of(std::string("X") + test::little_endian(0xFFFFFFFF, 4)),
              HasSubstr("a text of 4294967295 bytes; at most 1048576 are read"));
  EXPECT_THAT(problem_of(std::string("X") + test::little_endian(100, 4) + "short"), HasSubstr("is cut off"));
  EXPECT_THAT(problem_of(std::string("Nr") + test::little_endian(2'000'000, 4)),
              HasSubstr("remembers a value as number 2000000; at most 2000000 are kept"));
  EXPECT_THAT(problem_of(std::string(2'000'001, 'N')), HasSubstr("holds more than 2000000 values"));
  EXPECT_THAT(problem_of(std::string(2'000'001, '(')), HasSubstr("has too many marks"));
  std::string repeats = "Nq\x01";
  for (int i = 0; i < 2'000'000; ++i) repeats += "h\x01";
  EXPECT_THAT(problem_of(repeats), HasSubstr("puts more than 2000000 values on its stack"));
  std::string tensors;
  const std::string rebuild = global("torch._utils", "_rebuild_tensor_v2") + "q\x01" + storage("FloatStorage", "0", 1) + "q\x02";
  for (int i = 0; i < 100'001; ++i) tensors += "h\x01h\x03R";
  EXPECT_THAT(problem_of(rebuild + "(h\x02K" + std::string(1, '\0') + "))\x89}tq\x03" + tensors),
              HasSubstr("holds more than 100000 tensors"));
}

}  // namespace
}  // namespace convbasis
